"""Reads Parquet in DuckDB; the only module that speaks DuckDB."""

import glob
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw

from ope.formats.columns import LINE


def scan(path: Path) -> nw.LazyFrame[Any]:
    """Return the file as a relation that has not been read, each row numbered in the column LINE."""
    # A bracket in a file name is a name, and a folder called loop=a is no column.
    exactly = glob.escape(str(path))
    read = duckdb.connect().read_parquet(exactly, file_row_number=True, hive_partitioning=False)
    frame: nw.LazyFrame[Any] = nw.from_native(
        read.project(f'* EXCLUDE (file_row_number), file_row_number + 1 AS "{LINE}"')
    )
    return frame
