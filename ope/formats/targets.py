"""The formats that a log can be written in: what each carries, what it needs, and how its rows become bytes."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import msgspec
import polars as pl
import pyarrow.parquet as pq

from ope.formats import dsjson_lines, guess, open_bandit, vw_lines
from ope.formats.asides import Row, Unreadable
from ope.formats.listed import checked


class Writer(Protocol):
    """Writes chunk after chunk to an open file."""

    def write(self, chunk: pl.DataFrame) -> Iterator[tuple[int, Unreadable]]:
        """Write the chunk's rows; yields the place of each that the format cannot say, which is not written."""

    def close(self) -> None:
        """Write what ends the file."""


@dataclass(frozen=True, slots=True)
class Target:
    """One format to write: `carries` are the columns that come back when it is read; None stands for all.

    Of the columns in `partly` only a part comes back; `needs` are columns of which one each must be there.
    """

    writer: Callable[[IO[bytes]], Writer]
    carries: frozenset[str] | None = None
    needs: Sequence[Sequence[str]] = ()
    partly: Mapping[str, str] = field(default_factory=dict)


class _Parquet:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._writer: Any = None

    def write(self, chunk: pl.DataFrame) -> Iterator[tuple[int, Unreadable]]:
        table = chunk.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table.cast(self._writer.schema))
        return iter(())

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Ndjson:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, chunk: pl.DataFrame) -> Iterator[tuple[int, Unreadable]]:
        chunk.write_ndjson(self._file)
        return iter(())

    def close(self) -> None:
        """Nothing ends it."""


class _Csv:
    """Lists become JSON text: a cell holds one value."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._header = file, True

    def write(self, chunk: pl.DataFrame) -> Iterator[tuple[int, Unreadable]]:
        nested = [name for name, kind in chunk.schema.items() if kind.is_nested()]
        flat = chunk.with_columns(pl.Series(name, _as_json(chunk[name]), dtype=pl.String) for name in nested)
        flat.write_csv(self._file, include_header=self._header, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        self._header = False
        return iter(())

    def close(self) -> None:
        """Nothing ends it."""


class _Lines:
    """One row after the other, each as the bytes that a function makes of it."""

    def __init__(self, file: IO[bytes], line: Callable[[Row], bytes], head: bytes = b"") -> None:
        self._file, self._line = file, line
        self._file.write(head)

    def write(self, chunk: pl.DataFrame) -> Iterator[tuple[int, Unreadable]]:
        for place, row in enumerate(chunk.iter_rows(named=True)):
            try:
                self._file.write(self._line(row))
            except Unreadable as error:
                yield place, error

    def close(self) -> None:
        """Nothing ends it."""


def _as_json(column: pl.Series) -> list[str | None]:
    return [None if value is None else msgspec.json.encode(value).decode() for value in column.to_list()]


def _csv_line(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _open_bandit_line(row: Row) -> bytes:
    checked(row)
    return _csv_line(open_bandit.cells(row))


TARGETS: dict[str, Target] = {
    guess.PARQUET: Target(_Parquet),
    guess.NDJSON: Target(_Ndjson),
    guess.CSV: Target(_Csv),
    guess.DSJSON: Target(
        lambda file: _Lines(file, dsjson_lines.line), dsjson_lines.CARRIED, dsjson_lines.NEEDED, dsjson_lines.PARTLY
    ),
    guess.CB: Target(
        lambda file: _Lines(file, vw_lines.cb_line), vw_lines.CB_CARRIED, vw_lines.CB_NEEDED, vw_lines.CB_PARTLY
    ),
    guess.CB_ADF: Target(
        lambda file: _Lines(file, vw_lines.adf_block), vw_lines.ADF_CARRIED, vw_lines.ADF_NEEDED, vw_lines.ADF_PARTLY
    ),
    guess.OPEN_BANDIT: Target(
        lambda file: _Lines(file, _open_bandit_line, _csv_line(open_bandit.header())),
        open_bandit.CARRIED,
        open_bandit.NEEDED,
        open_bandit.PARTLY,
    ),
}
"""By the names in `ope.formats.guess`."""
