"""All that is summed over a log: a first pass for its size and span, then the rest at once; judges nothing.

Memory is bounded by what is grouped by: actions, segments, at most 60 periods, a million ids (where
a log has more, a share of them, chosen by hash, stands for all), and the largest weights.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from ope.diagnostics.canonical import AS_LOGGED, SEGMENT
from ope.diagnostics.evidence import STAKES
from ope.diagnostics.opening import CONTENT
from ope.diagnostics.pareto import tail_length
from ope.diagnostics.question import Question, Target
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import reading
from ope.weight_bins import bins_of

Named: TypeAlias = dict[str, pl.Expr]
Ask: TypeAlias = Callable[[Question], Named]

MOST_IDS = 1_000_000
MOST_PERIODS = 60
PIECE = 8_000_000
SHOWN = 5
BINS = "bins of "
_SECOND = 1_000_000
_APART = pl.QueryOptFlags(comm_subplan_elim=False)  # what is shared between queries is held in memory
_PERIODS = [n * _SECOND for n in (1, 10, 60, 600, 3600, 21_600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)]


@dataclass(frozen=True, slots=True)
class Facts:
    """The sums: one row of `total`, and a frame each by action, eligible action, segment, period and id."""

    question: Question
    total: Mapping[str, Any]
    actions: pl.DataFrame
    eligible: pl.DataFrame
    segments: Mapping[str, pl.DataFrame]
    periods: pl.DataFrame
    copies: pl.DataFrame
    of_ids: int
    period: int | None
    largest: Mapping[str, pl.Series]
    bins: Mapping[str, pl.DataFrame]
    usual_reward: float
    at_usual: int
    disorder: tuple[int, pl.DataFrame]

    @property
    def n(self) -> int:
        """How many rows there are."""
        return int(self.total["n"])

    def settled(self) -> pl.LazyFrame:
        """Return the rows with `settled` and `telling`, see the function."""
        return settled(self.question, self.total, self.usual_reward)

    @property
    def unequal(self) -> bool:
        """Whether rows stand for different numbers of decisions."""
        return bool(self.total.get("h least") != self.total.get("h most"))

    def limit(self, name: str) -> float:
        """Return a threshold."""
        return self.question.asked.limits[name]

    def examples(self, mask: pl.Expr, role: str | None = None) -> pl.DataFrame:
        """Return `file`, `row` and what was logged as `role` of the first rows where the mask holds."""
        rows = self.question.rows
        named = [role + AS_LOGGED, role] if role else []
        there = [name for name in named if name in rows.collect_schema()]
        shown = pl.col(there[0]) if there else pl.lit(None)
        return rows.filter(mask).head(SHOWN).select("file", "row", shown.alias("value")).collect(engine="streaming")


def gather(question: Question, asks: Sequence[Ask]) -> Facts:
    """Return the sums of the rows; raises InvalidLog where a file cannot be read after all."""
    with reading(" and ".join(question.log.files)):
        total = question.rows.select(**_span(question), **{k: v for ask in asks for k, v in ask(question).items()})
        row = total.collect(engine="streaming").row(0, named=True)
        return _grouped(question, row)


def _span(q: Question) -> Named:
    named = {"n": pl.len()}
    if q.has("at"):
        named |= {"first": pl.col("at").min(), "last": pl.col("at").max()}
    if q.has(ROW_WEIGHT):
        h = pl.col("h")
        named |= {"h least": h.min(), "h most": h.max(), "h mean": h.mean(), "h rows": h.count()}
    return named


def _grouped(q: Question, total: Mapping[str, Any]) -> Facts:
    usual, at_usual = _usual(q, total)
    period, of_ids = _period(total), max(1, math.ceil(total["n"] / MOST_IDS))
    queries = {
        "actions": _by_action(q),
        "eligible": _by_eligible(q),
        "periods": _by_period(q, total, period, usual),
        "copies": _by_id(q, of_ids),
        **{SEGMENT + name: _by_segment(q, name) for name in q.log.segments},
        **{target.weight: _largest(q, target, total["n"]) for target in q.targets},
        **{BINS + target.weight: _bins(q, target) for target in q.targets},
    }
    found = dict(zip(queries, pl.collect_all(queries.values(), engine="streaming", optimizations=_APART), strict=True))
    return Facts(
        q,
        total,
        actions=found["actions"],
        eligible=found["eligible"],
        segments={name: found[SEGMENT + name] for name in q.log.segments},
        periods=found["periods"].sort("period"),
        copies=found["copies"],
        of_ids=of_ids,
        period=period,
        largest={one.name: found[one.weight].to_series().sort(descending=True) for one in q.targets},
        bins={one.name: found[BINS + one.weight] for one in q.targets},
        usual_reward=usual,
        at_usual=at_usual,
        disorder=_disorder(q, total["n"]),
    )


def _period(total: Mapping[str, Any]) -> int | None:
    """Return the length of a period in microseconds, a round one that makes at most 60; None without times."""
    if total.get("first") is None:
        return None
    span = total["last"] - total["first"]
    return next((length for length in _PERIODS if span < length * MOST_PERIODS), span // MOST_PERIODS + 1)


def _weights(q: Question) -> list[pl.Expr]:
    return [
        expression
        for one in q.targets
        for expression in (
            pl.col(one.weight).sum().alias(one.weight),
            (pl.col(one.weight) ** 2).sum().alias(one.weight + " squared"),
            pl.col(one.weight).count().alias(one.weight + " rows"),
        )
    ]


def _by_action(q: Question) -> pl.LazyFrame:
    if not q.has("action", "propensity"):
        return pl.LazyFrame()
    inverse = 1 / pl.col("propensity")
    logs = [(stake * (inverse - 1)).log1p().sum().alias(f"log {place}") for place, stake in enumerate(STAKES)]
    sums = [pl.len().cast(pl.Int64).alias("drawn"), inverse.sum().alias("inverse"), (inverse**2).sum().alias("squares")]
    usable = q.rows.filter(pl.col("usable") & pl.col("action").is_not_null())
    return usable.group_by("action").agg(*sums, *logs, *_weights(q))


def _by_eligible(q: Question) -> pl.LazyFrame:
    if not q.has("action", "distribution"):
        return pl.LazyFrame()
    lists = {"id": pl.col("distribution").list.eval(pl.element().struct.field("action")), "p": pl.col("masses")}
    long = q.rows.filter(pl.col("whole") & pl.col("action").is_not_null()).select("action", **lists).explode("id", "p")
    drawn = (pl.col("id") == pl.col("action")).sum().cast(pl.Int64)
    p = pl.col("p")
    sums = {"drawn": drawn, "expected": p.sum(), "variance": (p * (1 - p)).sum()}
    return long.group_by(pl.col("id").alias("eligible")).agg(**sums)


def _by_segment(q: Question, name: str) -> pl.LazyFrame:
    by = pl.col(SEGMENT + name).fill_null("(none)").alias("segment")
    return q.rows.group_by(by).agg(pl.len().cast(pl.Int64).alias("n"), *_weights(q))


def _by_period(q: Question, total: Mapping[str, Any], period: int | None, usual: float) -> pl.LazyFrame:
    if not q.has("reward"):
        return pl.LazyFrame({"period": []})
    if period is None:
        length = max(1, math.ceil(total["n"] / MOST_PERIODS))
        place = pl.col("index").cast(pl.Int64) // length
    else:
        place = (pl.col("at") - (total["first"] // period) * period) // period
    sums = [pl.len().cast(pl.Int64).alias("n"), pl.col("settled").sum(), pl.col("telling").sum()]
    return settled(q, total, usual).group_by(place.alias("period")).agg(*sums)


def settled(q: Question, total: Mapping[str, Any], usual: float) -> pl.LazyFrame:
    """Return the rows with `settled`, whether the outcome is known, and `telling`, whether a reward came of it."""
    known = pl.col("reward").is_not_null()
    if "reward" + AS_LOGGED in q.rows.collect_schema():
        known |= pl.col("reward" + AS_LOGGED).is_not_null()  # what is no number is broken, not missing
    telling = pl.col("reward") != usual
    if q.has("outcome"):
        known &= pl.col("outcome").is_in(["provisional", "censored"]).not_().fill_null(value=True)
        if total.get("expired"):
            telling = pl.col("outcome") != "expired"
    return q.rows.with_columns(settled=known, telling=(telling & known).fill_null(value=False))


def _usual(q: Question, total: Mapping[str, Any]) -> tuple[float, int]:
    """Return the commonest of the smallest reward, the largest and 0, and in how many rows it is."""
    if not q.has("reward") or total["least"] is None:
        return 0.0, 0
    candidates = (0.0, float(total["least"]), float(total["most"]))
    sums = {f"{place}": (pl.col("reward") == value).sum() for place, value in enumerate(candidates)}
    counts = q.rows.select(**sums).collect(engine="streaming").row(0)
    return max(zip(candidates, counts, strict=True), key=lambda pair: pair[1])


def _disorder(q: Question, n: int) -> tuple[int, pl.DataFrame]:
    """Return how many rows are earlier than the one before in their file, and the first of them.

    In pieces: to look at the row before, polars holds the column in memory.
    """
    if not q.has("at"):
        return 0, pl.DataFrame()
    times = q.rows.select("file", "row", "at")
    back = (pl.col("at") < pl.col("at").shift(1)) & (pl.col("file") == pl.col("file").shift(1))
    count, first = 0, pl.DataFrame()
    for start in range(0, n, PIECE):
        piece = times.slice(max(start - 1, 0), PIECE + 1).filter(back).select("file", "row").collect(engine="streaming")
        count += piece.height
        first = pl.concat([first, piece.head(SHOWN)]).head(SHOWN) if first.height else piece.head(SHOWN)
    return count, first


def _by_id(q: Question, of_ids: int) -> pl.LazyFrame:
    if q.has("decision_id"):
        known = q.rows.filter(pl.col("decision_id").is_not_null())
        key = pl.col("decision_id").hash()
    elif q.has("at"):
        known, key = q.rows.filter(pl.col("at").is_not_null()), pl.col("at").hash()
    else:
        return pl.LazyFrame()
    said = [name for name in ("reward", "propensity", "action", "at") if q.has(name)]
    content = pl.col(CONTENT) if not q.has("decision_id") else pl.struct(said).hash() if said else pl.lit(0, pl.UInt64)
    rows = known.select("index", "file", "row", key.alias("key"), content.alias("content"))
    shared = rows.filter(pl.col("key") % of_ids == 0).group_by("key")
    content = pl.col("content")
    groups = shared.agg(
        pl.len().cast(pl.Int64).alias("n"),
        (content.min() == content.max()).alias("alike"),
        pl.col("index").min().alias("first"),
    )
    copies = pl.col("n") - 1
    return groups.select(
        pl.col("n").sum().alias("rows"),
        copies.sum().alias("copies"),
        copies.filter("alike").sum().alias("whole_copies"),
        pl.col("first").filter(pl.col("alike") | q.has("decision_id"), pl.col("n") > 1).min(),
    )


def _largest(q: Question, target: Target, n: int) -> pl.LazyFrame:
    most = max(math.ceil(n / 100), tail_length(n) + 1, 1)
    return q.rows.select(pl.col(target.weight).drop_nulls().top_k(most))


def _bins(q: Question, target: Target) -> pl.LazyFrame:
    finite = q.rows.filter(pl.col(target.weight).is_finite()).select(target.weight)
    found: pl.LazyFrame = bins_of(nw.from_native(finite), nw.col(target.weight), weighted=False).to_native()
    return found
