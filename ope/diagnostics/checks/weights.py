"""Whether few rows decide: effective rows, the heaviest rows, and the tail of the weights, for each target."""

import math
from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check, first_rows, share
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, Where, grade
from ope.diagnostics.pareto import pareto_k, worst_k
from ope.diagnostics.question import Question, Target

CODES = ("ess", "action_ess", "segment_ess", "largest_weight", "top_share", "weight_tail", "mean_weight")
_CLOSER = (
    "Explore more on the actions that the target prefers (a floor under every propensity), gather more rows, or judge "
    "a target that is closer to the logger."
)

_MORE = "Gather more rows: hardly one weighs more than another, there are too few of them."
_ALIKE = 0.8
"""From this share of the rows on, ESS is short of rows, not of weight."""
_HEAVY = 3
"""A row that weighs no more than this many others is not what decides, however few rows there are."""


def _ask(q: Question) -> Named:
    named: Named = {}
    for one in q.targets:
        w = pl.col(one.weight)
        sums = {"sum": w.sum(), "squares": (w * w).sum(), "var": w.var(), "max": w.max(), "n": w.count()}
        named |= {f"{one.weight} {name}": expression for name, expression in sums.items()}
    return named


def _judge(facts: Facts) -> Iterator[Answer]:
    if not facts.question.targets:
        why = "no target: name one with --policy, or log target_propensity."
        yield from (Unknown(code, why) for code in CODES)
    for target in facts.question.targets:
        yield from _of_target(facts, target)


def _of_target(facts: Facts, target: Target) -> Iterator[Answer]:
    sums = {name: facts.total[f"{target.weight} {name}"] for name in ("sum", "squares", "var", "max", "n")}
    if not sums["n"]:
        yield from (Unknown(code, "no row has both propensities.", target.name) for code in CODES)
        return
    ess = effective(sums["sum"], sums["squares"])
    yield _ess(facts, target, ess, sums["n"])
    yield from _parts(facts, target, sums["sum"])
    if not sums["sum"]:
        return
    yield from _heaviest(facts, target, sums)
    tail = _tail(facts, target, sums["n"])
    yield tail
    yield _mean(facts, target, sums, _why_not_normal(facts, ess, tail))


def _decisions(facts: Facts) -> float:
    """Return how many decisions a row stands for on average; weights are multiplied by each row's own number."""
    return float(facts.total.get("h mean") or 1.0)


def effective(total: float, squares: float) -> float:
    """Return (sum w)^2 / sum w^2 (Kish 1965), 0 where every weight is 0."""
    return total * total / squares if squares else 0.0


def _ess(facts: Facts, target: Target, ess: float, n: int) -> Finding:
    severity, threshold = grade(ess, warn=facts.limit("ess_warn"), refuse=facts.limit("ess_refuse"), low=True)
    says = f"the {n:,} rows are worth {ess:,.0f} of the target's own."
    if not ess:
        says = f"in none of the {n:,} rows would the target have played what was logged: the log says nothing of it."
    way_out = "" if severity == "ok" else _MORE if ess > _ALIKE * n else _CLOSER
    return Finding("ess", severity, ess, threshold, says, way_out, Where(policy=target.name))


def _parts(facts: Facts, target: Target, total: float) -> Iterator[Answer]:
    if facts.question.has("action"):
        yield _part(facts, target, "action_ess", facts.actions, total, by="action")
    else:
        yield Unknown("action_ess", "there is no action column.", target.name)
    for name, frame in facts.segments.items():
        yield _part(facts, target, "segment_ess", frame.rename({"segment": "action"}), total, by=name)
    if not facts.segments:
        yield Unknown("segment_ess", "no segment was named: give --segment COLUMN.", target.name)


def _part(facts: Facts, target: Target, code: str, frame: pl.DataFrame, total: float, *, by: str) -> Finding:
    w, least = target.weight, facts.limit(f"{code}_warn")
    judged = frame.filter(pl.col(w) >= facts.limit(f"{code.removesuffix('_ess')}_share") * total, pl.col(w) > 0)
    found = judged.with_columns(ess=pl.col(w) ** 2 / pl.col(w + " squared")).sort("ess", "action")
    if found.is_empty():
        return Finding(code, "ok", None, least, says=f"no {by} carries enough weight to be judged alone.")
    weak, worst = found.filter(pl.col("ess") < least), found.row(0, named=True)
    name = worst["action"]
    where = (
        Where(policy=target.name, action=name)
        if code == "action_ess"
        else Where(policy=target.name, segment=f"{by}={name}")
    )
    if weak.is_empty():
        says = f"of {found.height:,} judged, {by} {name!r} is worth the fewest rows, {worst['ess']:,.0f}."
        return Finding(code, "ok", worst["ess"], least, says, where=where)
    more = f", and {weak.height - 1:,} more are below {least:g}" if weak.height > 1 else ""
    says = f"{by} {name!r} carries {share(worst[w] / total)} of the weight on {worst['ess']:,.1f} effective rows{more}."
    return Finding(code, "warn", worst["ess"], least, says, _CLOSER, where)


def _heaviest(facts: Facts, target: Target, sums: dict[str, float]) -> Iterator[Answer]:
    part = sums["max"] / sums["sum"]
    severity, threshold = grade(
        part, warn=facts.limit("largest_share_warn"), refuse=facts.limit("largest_share_refuse")
    )
    says, way_out, where = f"the heaviest row has {share(part)} of the weight.", "", Where(policy=target.name)
    if severity != "ok" and part * sums["n"] <= _HEAVY:
        severity = "ok"
        says = f"the heaviest row has {share(part)} of the weight, since there are {sums['n']:,} rows: see ess."
    if severity != "ok":
        at, _ = first_rows(facts, pl.col(target.weight) == sums["max"])
        where = Where(policy=target.name, file=at.file, rows=at.rows)
        one = "one row has" if len(at.rows) == 1 else "each of these rows has"
        w = sums["max"] / _decisions(facts)
        says = f"{one} {share(part)} of all the weight (w = {w:,.4g}): its reward decides as much."
        way_out = f"Look at that row: a propensity that small is often a bug. If it is true: {_CLOSER}"
    yield Finding("largest_weight", severity, part, threshold, says, way_out, where)
    count = -(-int(sums["n"]) // 100)
    part = float(facts.largest[target.name].head(count).sum()) / sums["sum"]
    severity, threshold = grade(part, warn=facts.limit("top_share_warn"))
    says = f"the heaviest 1% of the rows have {share(part)} of the weight."
    yield Finding(
        "top_share", severity, part, threshold, says, _CLOSER if severity != "ok" else "", Where(policy=target.name)
    )


def _tail(facts: Facts, target: Target, n: float) -> Answer:
    k = pareto_k(facts.largest[target.name].to_numpy(), n=int(n))
    if k is None:
        return Unknown("weight_tail", "too few large or distinct weights for a tail to be fitted.", target.name)
    most = worst_k(int(n), facts.limit("pareto_k_warn"))
    severity, threshold = grade(k, warn=most, refuse=facts.limit("pareto_k_refuse"))
    says = f"the tail of the weights has a Pareto k of {k:.2f}."
    if severity != "ok":
        says += " Their mean settles too slowly for any interval; the estimate may jump with the next large weight."
    way_out = _CLOSER if severity != "ok" else ""
    return Finding("weight_tail", severity, k, threshold, says, way_out, Where(policy=target.name))


def _why_not_normal(facts: Facts, ess: float, tail: Answer) -> str | None:
    if ess < facts.limit("z_ess"):
        return f"{ess:,.0f} effective rows are too few for the mean weight to be near normal."
    heavy = isinstance(tail, Finding) and tail.severity != "ok"
    return "the tail of the weights is too heavy for the mean weight to be near normal." if heavy else None


def _mean(facts: Facts, target: Target, sums: dict[str, float], why_not: str | None) -> Answer:
    if why_not:
        return Unknown("mean_weight", why_not, target.name)
    n, per_row = sums["n"], _decisions(facts)
    mean = sums["sum"] / n / per_row
    spread = math.sqrt((sums["var"] or 0.0) / n) / per_row
    off = 0.0 if abs(mean - 1) < 1e-9 else mean - 1
    z = off / spread if spread else math.copysign(math.inf, off) if off else 0.0
    far = f"the mean weight is {mean:.4g}, {abs(z):.1f} standard errors from 1"
    severity, threshold = grade(abs(z), refuse=facts.limit("mean_weight_z"))
    where = Where(policy=target.name)
    if severity == "ok":
        return Finding("mean_weight", severity, z, threshold, f"{far}.", where=where)
    if spread and off < 0 and _may_be_chance(facts, n, off, sums["squares"] / sums["sum"] / per_row):
        return Unknown("mean_weight", f"{far}: rare rows of large weight may be what is missing.", target.name)
    says = f"{far}, which it must be where propensities are true and support is full."
    way_out = (
        "Below 1, the target plays what the logger never did, or propensities are logged too large; above 1, they "
        "are logged too small. Log the probabilities that were sampled from."
    )
    return Finding("mean_weight", severity, z, threshold, says, way_out, where)


def _may_be_chance(facts: Facts, n: float, off: float, second: float) -> bool:
    """Say whether a mean so low has a bound on its probability above alpha: exp(-n (1 - mean)^2 / (2 E[w^2])).

    Weights that were never seen make the spread look small and z large (Maurer 2003, theorem 1, for w >= 0).
    """
    return -n * off * off / (2 * second) > math.log(facts.limit("alpha"))


CHECK = Check(CODES, _judge, _ask)
