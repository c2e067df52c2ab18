"""Whether each decision met its outcome: what is missing, what is merely young, and when rewards stopped coming."""

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binom

from ope.diagnostics.checks.base import Check, rows_of, share
from ope.diagnostics.checks.row_weights import SUBSAMPLED
from ope.diagnostics.facts import Facts
from ope.diagnostics.findings import Answer, Finding, Unknown, Where, grade

CODES = ("rewards_missing", "rewards_immature", "reward_gap")
_COMPLETE = 0.99
_MATURE = (
    "Judge only decisions that are older than the reward's whole window, and leave out all of that age, not only the "
    "open ones: among them, fast rewards are over-represented."
)
_JOIN = (
    "Look at the ids on which rewards are joined and at the rewards that found no decision. Where silence means 0, "
    "log the default reward for it once the window has passed."
)


def _judge(facts: Facts) -> Iterator[Answer]:
    if not facts.question.has("reward") or facts.periods.is_empty():
        yield from (Unknown(code, "there is no reward column.") for code in CODES)
        return
    yield from _completeness(facts)
    yield _gap(facts)


def _completeness(facts: Facts) -> Iterator[Answer]:
    from_on, column = _young(facts)
    periods = facts.periods.with_columns(open=pl.col("n") - pl.col("settled"))
    if int(periods["open"].sum()) == 0:
        yield Finding("rewards_missing", "ok", 0.0, facts.limit("missing_warn"), "every decision has its outcome.")
        yield Finding("rewards_immature", "ok", 0.0, 0.0, "no decision waits for its outcome.")
        return
    rows = facts.settled()
    young = pl.col(column) >= from_on if from_on is not None else pl.lit(value=False)
    is_open = ~pl.col("settled")
    row = rows.select(
        n=pl.len(), young=young.sum(), waiting=(is_open & young).sum(), missing=(is_open & ~young).sum(),
    ).collect(engine="streaming").row(0, named=True)  # fmt: skip
    yield _missing(facts, row, is_open & ~young)
    yield _immature(facts, row, is_open & young, column)


def _young(facts: Facts) -> tuple[int | None, str]:
    """Return where the young end of the log begins, and in which column: the declared window, or the open periods."""
    window = facts.question.asked.window
    if window is not None and facts.period is not None:
        return int(facts.total["last"]) - window, "at"
    periods = _dated(facts)
    shares = (periods["settled"] / periods["n"]).to_list()
    whole = next((place for place in range(len(shares), 0, -1) if shares[place - 1] >= _COMPLETE), 0)
    if whole == len(shares) or len(shares) - whole > len(shares) / 2:
        return None, "index"
    return _start(facts, periods["period"][whole]), "index" if facts.period is None else "at"


def _dated(facts: Facts) -> pl.DataFrame:
    # Decisions without a time that can be read stand in no period; they are counted, but not pointed at.
    return facts.periods.drop_nulls("period")


def _start(facts: Facts, place: int) -> int:
    if facts.period is None:
        return place * max(1, math.ceil(facts.n / 60))
    return (int(facts.total["first"]) // facts.period + place) * facts.period


def _missing(facts: Facts, row: dict[str, Any], mask: pl.Expr) -> Finding:
    old = row["n"] - row["young"]
    part = row["missing"] / old if old else 0.0
    severity, threshold = grade(part, warn=facts.limit("missing_warn"), refuse=facts.limit("missing_refuse"))
    if severity == "ok":
        return Finding("rewards_missing", "ok", part, threshold, "every decision that is old enough has its outcome.")
    where = _first_open(facts, mask)
    worst = _worst_period(facts)
    says = (
        f"{rows_of(row['missing'], old)} that are old enough have no outcome{worst}. Dropping them would bias the rest."
    )
    return Finding("rewards_missing", severity, part, threshold, says, _JOIN, where)


def _worst_period(facts: Facts) -> str:
    dated = _dated(facts)
    if facts.period is None or dated.is_empty():
        return ""
    worst = dated.with_columns(part=1 - pl.col("settled") / pl.col("n")).sort("part").row(-1, named=True)
    return f", most of them from {_clock(_start(facts, worst['period']))} on ({share(worst['part'])} open)"


def _immature(facts: Facts, row: dict[str, Any], mask: pl.Expr, column: str) -> Finding:
    waiting = row["waiting"]
    if not waiting:
        return Finding("rewards_immature", "ok", 0.0, 0.0, "no young decision waits for its outcome.")
    where = _first_open(facts, mask)
    start = _young(facts)[0]
    timed = column == "at" and start is not None
    period = f"from {_clock(start or 0)} on" if timed else f"from row {where.rows[0]:,} on"
    says = f"{waiting:,} decisions at the end of the log still wait for their outcome."
    where = Where(file=where.file, rows=where.rows, column="reward", period=period)
    return Finding("rewards_immature", "warn", float(waiting), 0.0, says, _MATURE, where)


def _first_open(facts: Facts, mask: pl.Expr) -> Where:
    found = facts.settled().filter(mask).head(5).select("file", "row").collect(engine="streaming")
    if found.is_empty():
        return Where(column="reward")
    file = found["file"][0]
    rows = found.filter(pl.col("file") == file)["row"].to_list()
    return Where(file=facts.question.log.files[file], rows=tuple(rows), column="reward")


def _gap(facts: Facts) -> Answer:
    """A period with too few telling rewards to have even `gap_share` of the usual share (an exact binomial test)."""
    if facts.unequal:
        return Unknown("reward_gap", SUBSAMPLED)
    periods = _dated(facts).filter(pl.col("settled") > 0)
    total, telling = int(periods["settled"].sum()), int(periods["telling"].sum())
    if not total or not telling:
        return Unknown("reward_gap", "no reward differs from the usual one.")
    least = facts.limit("gap_share") * telling / total
    tails = np.asarray(binom.cdf(periods["telling"].to_numpy(), periods["settled"].to_numpy(), least)) * periods.height
    worst = int(tails.argmin())
    p = min(float(tails[worst]), 1.0)
    severity, threshold = grade(p, refuse=facts.limit("alpha"), low=True)
    if severity == "ok":
        return Finding(
            "reward_gap", "ok", p, threshold, f"rewards came in each of {periods.height:,} periods as in the others."
        )
    row = periods.row(worst, named=True)
    period = _name(facts, row["period"])
    usual = share(telling / total)
    says = (
        f"{row['telling']:,} of {row['settled']:,} decisions earned something there, in the whole log {usual} of them."
    )
    return Finding("reward_gap", severity, p, threshold, f"{says} Rewards were lost.", _JOIN, Where(period=period))


def _name(facts: Facts, place: int) -> str:
    start, after = _start(facts, place), _start(facts, place + 1)
    if facts.period is None:
        return f"rows {start + 1:,} to {min(after, facts.n):,}, all files counted on"
    return f"{_clock(start)} to {_clock(after)}"


def _clock(microseconds: int) -> str:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)).isoformat(
        timespec="seconds"
    )


CHECK = Check(CODES, _judge)
