"""Segments: the rows of one log in a Parquet file, as SQLite holds them. The one module of `store` that speaks Parquet.

Row groups are small, so that one row can be read without its whole file, and every page has a checksum.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from store.errors import StoreUnusable
from store.log.archive.manifest import LogName
from store.log.rows import Row

GROUP_ROWS = 1024

_INT, _TEXT, _REAL, _BYTES = pa.int64(), pa.string(), pa.float64(), pa.binary()
COLUMNS: dict[LogName, dict[str, pa.DataType]] = {
    "decisions": {
        "position": _INT,
        "decision_id": _TEXT,
        "at": _INT,
        "due": _INT,
        "request": _BYTES,
        "answer": _BYTES,
    },
    "rewards": {
        "position": _INT,
        "decision_id": _TEXT,
        "reward_id": _TEXT,
        "value": _REAL,
        "slot": _INT,
        "component": _TEXT,
        "occurred_at": _INT,
        "received_at": _INT,
        "status": _TEXT,
    },
    "outcomes": {
        "position": _INT,
        "decision": _INT,
        "kind": _TEXT,
        "value": _REAL,
        "at": _INT,
        "previous": _REAL,
        "earned": _BYTES,
        "revises": _INT,
        "root": _INT,
    },
    "activations": {"decision": _INT, "at": _INT},
}
"""The columns of each log. The first one orders it: the position, or the decision's."""
_REPEATED = {"kind", "status", "component"}


def write_segment(path: Path, log: LogName, rows: Iterable[Row]) -> tuple[int, int, int]:
    """Write rows in order of position; returns how many, and the first and last position."""
    columns = COLUMNS[log]
    schema = pa.schema(list(columns.items()))
    count = first = last = 0
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=sorted(_REPEATED & columns.keys()),
        write_page_checksum=True,
    ) as file:
        for group in _groups(rows):
            arrays = [
                pa.array(column, kind) for column, kind in zip(zip(*group, strict=True), schema.types, strict=True)
            ]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            first, last, count = first or group[0][0], group[-1][0], count + len(group)
    return count, first, last


def read_segment(path: Path, log: LogName) -> Iterator[Row]:
    """Yield a segment's rows in order. Raises `StoreUnusable` where the file is missing or damaged."""
    for group in range(len(bounds(path))):
        yield from read_group(path, log, group)


def bounds(path: Path) -> list[tuple[int, int]]:
    """Return the first and last position of each row group."""
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i).column(0).statistics for i in range(file.num_row_groups)]
            return [(found.min, found.max) for found in groups]
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def read_group(path: Path, log: LogName, group: int) -> list[Row]:
    """Return the rows of one row group, as `SELECT` gives them."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read_row_group(group, columns=list(COLUMNS[log]))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while group := list(islice(rest, GROUP_ROWS)):
        yield group


def _unreadable(path: Path, error: Exception) -> StoreUnusable:
    return StoreUnusable(
        f"{path} is missing or damaged ({error}); its rows were pruned from the log: put the file back from a backup"
    )
