"""Brings a frame of any engine into memory, which only ever happens to single rows."""

from typing import Any

import narwhals as nw
import polars as pl

from ope.formats.source import Frame


def only_row(frame: Frame) -> dict[str, Any]:
    """Return the single row of a one-row frame as a dict; polars streams to get there."""
    return in_memory(frame).rows(named=True)[0]


def in_memory(frame: Frame) -> nw.DataFrame[Any]:
    """Return the frame as one in memory; polars streams to get there."""
    if isinstance(frame, nw.DataFrame):
        return frame
    native = frame.to_native()
    if isinstance(native, pl.LazyFrame):
        return nw.from_native(native.collect(engine="streaming"))
    return frame.collect()
