"""Writes what was computed of a log's rows into a file beside it, and reads the two as one, both as streams."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ope.formats.source import Source

Part: TypeAlias = Mapping[str, pa.Array]


def written_beside(source: Source, parts: Iterable[Part], schema: pa.Schema, path: Path) -> Source:
    """Return the source with the columns of these parts, which have its rows in their order; they go into a file."""
    with pq.ParquetWriter(path, schema) as file:
        for part in parts:
            file.write_table(pa.table(dict(part), schema=schema))
    others = source.frame.drop(schema.names, strict=False).to_native()
    # Rows of the two stand in one order, so nothing has to be joined.
    beside = pl.concat([others, pl.scan_parquet(path, glob=False)], how="horizontal")
    return replace(source, frame=nw.from_native(beside))


def lists(like: Sequence[Sized], values: npt.NDArray[np.float64]) -> pa.Array:
    """Return the values, row after row, as lists as long as these."""
    ends = np.cumsum([0, *map(len, like)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values))
