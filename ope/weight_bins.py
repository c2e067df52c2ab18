"""The histogram of a log's weights and of what they carry, in bins that are the same for every log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw

from ope.engine import in_memory
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import reading
from ope.formats.source import Frame
from ope.frames import Rows
from ope.raw_weights import raw_weight
from ope.weights import RAW

PER_DECADE = 10
_ZERO = -1
_LOWEST = 400
"""Decades below 1 from which places are counted, so that no place is below 0."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The weights from `low` to below `high`: how many rows have them, and how much weight these have together."""

    low: float
    high: float
    rows: int
    mass: float


@dataclass(frozen=True, slots=True)
class WeightBins:
    """All weights of a log: `zero` rows have none, the others lie in bins of equal ratio, the smallest first."""

    zero: int
    bins: tuple[Bin, ...]


def weight_bins(logs: Sequence[Rows]) -> WeightBins:
    """Return the bins of p_target/p_log over canonical rows, whose mass is that times the row weight; one pass."""
    counted: dict[int, list[float]] = {}
    for rows in logs:
        with reading(rows.source.name):
            _add(counted, bins_of(rows.frame, raw_weight(RAW), weighted=ROW_WEIGHT in rows.columns))
    return as_bins(counted)


def bins_of(frame: Frame, weight: nw.Expr | None, *, weighted: bool) -> Frame:
    """Return `rows` and `mass` by `place`; -1 is that of the weights of 0, and null ones are not counted."""
    w = nw.col(RAW) if weight is None else weight
    h = nw.col(ROW_WEIGHT) if weighted else nw.lit(1.0)
    wide = frame.select(w=w, mass=w * h)
    # The logarithm of 0 is no number that an integer can hold.
    positive = nw.when(nw.col("w") > 0).then(nw.col("w")).otherwise(1.0)
    # Engines differ in what a cast does to fractions: DuckDB rounds, Arrow refuses.
    place = ((positive.log(10) + _LOWEST) * PER_DECADE).floor().cast(nw.Int64())
    placed = nw.when(nw.col("w") > 0).then(place).otherwise(_ZERO)
    known: Frame = wide.filter(nw.col("w") >= 0).select(place=placed, mass=nw.col("mass"), rows=nw.lit(1))
    return known.group_by("place").agg(nw.col("rows").sum(), nw.col("mass").sum())


def as_bins(counted: Mapping[int, Sequence[float]]) -> WeightBins:
    """Return counts by place as bins; a gap between two is a bin of no rows."""
    places = [place for place in counted if place != _ZERO]
    every = range(min(places, default=0), max(places, default=-1) + 1)
    bins = [Bin(edge(place), edge(place + 1), *_counts(counted.get(place, (0, 0.0)))) for place in every]
    return WeightBins(int(counted.get(_ZERO, (0, 0.0))[0]), tuple(bins))


def edge(place: int) -> float:
    """Return the least weight of a place."""
    return float(10 ** (place / PER_DECADE - _LOWEST))


def _counts(said: Sequence[float]) -> tuple[int, float]:
    return int(said[0]), float(said[1])


def _add(counted: dict[int, list[float]], found: Frame) -> None:
    for row in in_memory(found).rows(named=True):
        rows, mass = counted.setdefault(row["place"], [0, 0.0])
        counted[row["place"]] = [rows + row["rows"], mass + row["mass"]]
