"""Whether actions were drawn with the logged probabilities: counts against what the propensities add up to."""

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from ope.diagnostics.checks.base import Check, count, first_rows, rows_of, share
from ope.diagnostics.checks.row_weights import SUBSAMPLED
from ope.diagnostics.evidence import STAKES, reach, tail, too_often, too_seldom
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, Where, grade
from ope.diagnostics.question import Question

CODES = ("argmax_logged", "overexplored", "calibration", "propensity_constant", "no_exploration")
_EVEN = 1e-9
_SOURCES = (
    "Log the probabilities of the very distribution that was sampled from: after caps, floors and filters, before "
    "learning goes on, and with nothing that replaces the action after the draw."
)


def _ask(q: Question) -> Named:
    named: Named = {}
    if q.has("propensity"):
        p = pl.col("propensity").filter(pl.col("usable"))
        named |= {"usable": count(pl.col("usable")), "p least": p.min(), "p most": p.max()}
        named["certain"] = count(pl.col("usable") & (pl.col("propensity") >= 1 - _EVEN))
    if q.has("n_actions"):
        sizes = pl.col("n_actions")
        named |= {"fewest actions": sizes.min(), "most actions": sizes.max(), "sizes": sizes.count()}
    if q.has("distribution", "action"):
        drawn = pl.col("whole") & (pl.col("own") > 0)
        most = pl.col("most").clip(0, 1)
        sums = {"greedy": pl.col("greedy"), "expected": most, "spread": most * (1 - most)}
        named |= {f"greedy {name}": expression.filter(drawn).sum() for name, expression in sums.items()}
    return named


def _judge(facts: Facts) -> Iterator[Answer]:
    q = facts.question
    if not q.has("propensity"):
        yield from (Unknown(code, "there is no propensity column.") for code in CODES)
        return
    if facts.unequal:
        yield from (Unknown(code, SUBSAMPLED) for code in CODES if code != "no_exploration")
        yield from _exploration(facts)
        return
    yield from _greedy(facts)
    calibration = _calibration(facts)
    yield from _constant(facts, calibration)
    yield calibration
    yield from _exploration(facts)


def _greedy(facts: Facts) -> Iterator[Answer]:
    if not facts.question.has("distribution", "action"):
        why = "the log has no distribution (or no action), so that nobody knows what was most likely."
        yield from (Unknown(code, why) for code in ("argmax_logged", "overexplored"))
        return
    drawn, expected, spread = (float(facts.total[f"greedy {name}"] or 0) for name in ("greedy", "expected", "spread"))
    off = np.array([drawn - expected, expected - drawn])
    often, seldom = (float(math.exp(log_p)) for log_p in np.minimum(tail(off, np.array([spread] * 2)) + math.log(2), 0))
    counts = f"{drawn:,.0f} times, the distributions say {expected:,.0f}"
    yield _finding(
        facts, "argmax_logged", often, says=f"the most likely action was played {counts}",
        meaning="the best action was taken and the distribution logged as if it had been sampled from",
        way_out="Sample from the distribution that is logged; if the policy is greedy, log 1 for its choice.",
    )  # fmt: skip
    yield _finding(
        facts, "overexplored", seldom, says=f"the most likely action was played {counts}",
        meaning="something explores beyond the distribution that was logged (a random bucket, a fallback)",
        way_out=_SOURCES,
    )  # fmt: skip


def _finding(facts: Facts, code: str, p: float, *, says: str, meaning: str, way_out: str) -> Finding:
    severity, threshold = grade(p, refuse=facts.limit("alpha"), low=True)
    if severity == "ok":
        return Finding(code, "ok", p, threshold, f"{says}.")
    return Finding(code, severity, p, threshold, f"{says}: {meaning}.", way_out)


def _calibration(facts: Facts) -> Answer:
    if not facts.question.has("action"):
        return Unknown("calibration", "there is no action column.")
    eligible = facts.eligible.filter(pl.col("expected") > 0) if facts.eligible.height else facts.eligible
    if eligible.height:
        return _against_distributions(facts, eligible.sort("eligible"))
    if not facts.actions.height:
        return Unknown("calibration", "no row has both an action and a propensity.")
    return _against_rows(facts)


def _against_distributions(facts: Facts, by_action: pl.DataFrame) -> Finding:
    """Σ (1{drawn} − p) over the rows where the action was eligible has mean 0 and the variance Σ p (1 − p)."""
    drawn, expected, variance = (by_action[name].to_numpy() for name in ("drawn", "expected", "variance"))
    logs = tail(np.abs(drawn - expected), np.maximum(variance, 0)) + math.log(2 * len(drawn))
    # Sums of floats: a count that is all but certain may be off by rounding.
    logs = np.where(np.abs(drawn - expected) < 1e-6 * (1 + expected), 0.0, np.minimum(logs, 0.0))
    worst = int(logs.argmin())
    far = reach(float(variance[worst]), math.log(facts.limit("alpha") / (2 * len(drawn))))
    name = by_action["eligible"][worst]
    says = (
        f"action {name!r} was played {drawn[worst]:,} times where its propensities add up to {expected[worst]:,.1f} "
        f"(± {far:,.1f} by chance)"
    )
    return _of_actions(facts, name, logs, says)


def _against_rows(facts: Facts) -> Finding:
    """Σ 1/p over the rows that played an action counts the rows in which it was eligible."""
    by_action = facts.actions.sort("action")
    n = float(facts.total["usable"])
    drawn, inverse, squares = (by_action[name].to_numpy().astype(float) for name in ("drawn", "inverse", "squares"))
    logs = too_often(
        np.full_like(drawn, n), drawn, np.array([by_action[f"log {k}"].to_numpy() for k in range(len(STAKES))])
    )
    sides = 1
    if _always_eligible(facts, by_action.height):
        known = inverse**2 / squares >= facts.limit("seldom_ess")
        sides, logs = 2, np.minimum(logs, np.where(known, too_seldom(n, inverse, squares), 0.0))
    logs = np.minimum(logs + math.log(sides * len(drawn)), 0.0)
    worst = int(logs.argmin())
    name = by_action["action"][worst]
    at_most = "" if sides == 2 else "at most "
    says = (
        f"action {name!r} was played {drawn[worst]:,.0f} times; its propensities say that it was eligible in "
        f"{inverse[worst]:,.0f} rows, where it can have been in {at_most}{n:,.0f}"
    )
    return _of_actions(facts, name, logs, says)


def _always_eligible(facts: Facts, seen: int) -> bool:
    """Whether the log says that each of its actions was eligible in every row."""
    sizes = {facts.total.get("fewest actions"), facts.total.get("most actions")}
    return sizes == {seen} and facts.total["sizes"] == facts.n


def _of_actions(facts: Facts, worst: str, logs: np.ndarray, says: str) -> Finding:
    p = math.exp(float(logs.min()))
    severity, threshold = grade(p, refuse=facts.limit("alpha"), low=True)
    where = Where(action=worst)
    if severity == "ok":
        return Finding("calibration", "ok", p, threshold, f"{says}; no action is off by more than chance.", where=where)
    others = int((logs < math.log(facts.limit("alpha"))).sum()) - 1
    more = f" ({others:,} more actions are off as well)" if others else ""
    return Finding(
        "calibration", severity, p, threshold, f"{says}{more}: it was not drawn with these.", _SOURCES, where
    )


def _constant(facts: Facts, calibration: Answer) -> Iterator[Answer]:
    least, most = facts.total["p least"], facts.total["p most"]
    if least is None:
        yield Unknown("propensity_constant", "no row has a usable propensity.")
        return
    if most - least > _EVEN or least >= 1 - _EVEN:
        yield Finding("propensity_constant", "ok", None, None, "propensities differ from row to row.")
        return
    if isinstance(calibration, Unknown):
        yield Unknown(
            "propensity_constant", f"every propensity is {least:g}, and there are no actions to compare with."
        )
        return
    if calibration.severity == "ok":
        yield Finding(
            "propensity_constant", "ok", calibration.value, calibration.threshold,
            f"every propensity is {least:g}, and actions were played as if it were true.",
        )  # fmt: skip
        return
    commonest = facts.actions.sort("drawn", "action").row(-1, named=True)
    yield Finding(
        "propensity_constant", calibration.severity, calibration.value, calibration.threshold,
        f"every propensity is {least:g}, yet action {commonest['action']!r} was played in "
        f"{share(commonest['drawn'] / facts.total['usable'])} of the rows: the number was filled in, not drawn with.",
        "Log the probability of the drawn action from the policy's own distribution. 1 divided by the number of "
        "actions is true of a uniform draw only.",
        Where(action=commonest["action"], column="propensity"),
    )  # fmt: skip


def _exploration(facts: Facts) -> Iterator[Answer]:
    usable, certain = int(facts.total["usable"] or 0), int(facts.total["certain"] or 0)
    if not usable:
        yield Unknown("no_exploration", "no row has a usable propensity.")
        return
    part = certain / usable
    severity, threshold = grade(part, warn=facts.limit("no_exploration_warn"))
    if certain == usable:
        severity, threshold = "refuse", 1.0
    says = f"{rows_of(certain, usable)} have a propensity of 1."
    if severity == "ok":
        yield Finding("no_exploration", "ok", part, threshold, says)
        return
    where, _ = first_rows(facts, pl.col("propensity") >= 1 - _EVEN)
    yield Finding(
        "no_exploration", severity, part, threshold,
        f"{says} Such rows say nothing of any other action, and a 1 that was only filled in hides a draw.",
        "If the logger draws, log with which probability. If it does not, let it explore on a part of the traffic.",
        where,
    )  # fmt: skip


CHECK = Check(CODES, _judge, _ask)
