"""A log's rows as they stand, some at a time, for what is a fold over them or reads more than sums."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import reading
from ope.formats.source import Frame
from ope.frames import Rows
from ope.raw_weights import raw_weight
from ope.weights import RAW, REWARD

Floats = npt.NDArray[np.float64]
Select: TypeAlias = Callable[[Frame], Frame]

AT_ONCE = 250_000
"""Rows in memory at a time, whatever the length of the log."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive rows of a source, the first being row `start`, counted from 0; `frame` holds what was selected."""

    rows: Rows
    start: int
    frame: nw.DataFrame[Any]

    def column(self, name: str) -> Floats:
        """Return a column of numbers, shape (m,)."""
        found: Floats = self.frame[name].to_numpy()
        return found


def why_unordered(rows: Rows) -> str | None:
    """Return why no fold can go through these rows, and the way out; None where one can."""
    if not (isinstance(rows.frame, nw.DataFrame) or rows.frame.implementation.is_polars()):
        return (
            f"{rows.frame.implementation} keeps rows in no order. Choose --engine polars, or hand over a frame of "
            "polars, pandas or pyarrow."
        )
    if ROW_WEIGHT in rows.columns:
        return (
            "these rows stand for several decisions each. Judge by the estimators that are sums, with --interval "
            "normal."
        )
    return None


def in_order(logs: Sequence[Rows], select: Select, *, what: str) -> Iterator[Part]:
    """Yield what `select` makes of the sources' rows, as they stand there, AT_ONCE at a time.

    `what` asks for it, and is named where an engine keeps no order or rows stand for several decisions: that raises
    InvalidRequest.
    """
    for rows in logs:
        why = why_unordered(rows)
        if why is not None:
            raise InvalidRequest(
                f"{rows.source.name}: {what} goes through the decisions one after the other, and {why}"
            )
        start = 0
        with reading(rows.source.name):
            for found in _cut(select(rows.frame)):
                yield Part(rows, start, found)
                start += len(found)


def weighed_rewards(*more: str) -> Select:
    """Return the choice of the raw weight, the reward and some more columns or raw weights."""
    found = {name: raw_weight(name) for name in (RAW, REWARD, *more)}
    chosen = [nw.col(name) if weight is None else weight.alias(name) for name, weight in found.items()]
    return lambda frame: frame.select(*chosen)


def _cut(frame: Frame) -> Iterator[nw.DataFrame[Any]]:
    if isinstance(frame, nw.DataFrame):
        yield from (frame[i : i + AT_ONCE] for i in range(0, len(frame), AT_ONCE))
        return
    native: pl.LazyFrame = frame.to_native()
    for batch in native.collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
        yield nw.from_native(batch)
