"""A log's weights and rewards in decision order, for what is a fold over them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT
from ope.formats.source import Frame
from ope.frames import Rows
from ope.raw_weights import raw_weight
from ope.weights import RAW, REWARD

Floats = npt.NDArray[np.float64]

AT_ONCE = 250_000
"""Rows in memory at a time, whatever the length of the log."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive rows of a source: weights and rewards, shape (m,), the first being row `start`, counted from 0."""

    rows: Rows
    start: int
    weights: Floats
    rewards: Floats


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


def in_order(logs: Sequence[Rows], *, what: str) -> Iterator[Part]:
    """Yield the sources' rows as they stand there, AT_ONCE at a time.

    `what` asks for it, and is named where there is no such order: that raises InvalidRequest.
    """
    for rows in logs:
        why = why_unordered(rows)
        if why is not None:
            raise InvalidRequest(
                f"{rows.source.name}: {what} goes through the decisions one after the other, and {why}"
            )
        weight = raw_weight(RAW)
        assert weight is not None  # noqa: S101 - of RAW there is one
        start = 0
        for found in _cut(rows.frame.select(weight.alias(RAW), nw.col(REWARD))):
            yield Part(rows, start, found[RAW].to_numpy(), found[REWARD].to_numpy())
            start += len(found)


def _cut(frame: Frame) -> Iterator[nw.DataFrame[Any]]:
    if isinstance(frame, nw.DataFrame):
        yield from (frame[i : i + AT_ONCE] for i in range(0, len(frame), AT_ONCE))
        return
    native: pl.LazyFrame = frame.to_native()
    for batch in native.collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
        yield nw.from_native(batch)
