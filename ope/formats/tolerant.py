"""Reads NDJSON and CSV row by row where broken rows are to be reported: slower than polars, which stops at one."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from ope.errors import InvalidLog
from ope.formats.asides import Aside, BadRow, NoDecision, Row, Unreadable, excerpt
from ope.formats.columns import LINE, LOG_COLUMNS, TIMES
from ope.formats.dsjson import BLANK
from ope.formats.lines import Line, lines_of
from ope.formats.series import common_kind

INFER_ROWS = 10_000
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class NdjsonRows:
    """Reads lines as objects; `numeric` columns stay text, so that each can be judged, and quoted, by itself."""

    numeric: Sequence[str]

    def __call__(self, lines: Iterator[Line], *, name: str, wanted: Sequence[str]) -> Iterator[Row | Aside]:
        """Yield each line's object, or why it is none."""
        for number, line in lines:
            if not line.strip():
                yield NoDecision(BLANK)
                continue
            try:
                yield self.row(line, wanted) | {LINE: number}
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield Unreadable(f"{excerpt(line)} ({error})", "a line is one JSON object").at(name, number)

    def row(self, line: bytes, wanted: Sequence[str] | None = None) -> Row:
        """Return the columns of one line, by default all."""
        said = _OBJECT.decode(line)
        kept = said if wanted is None else [column for column in wanted if column in said]
        return {column: self._value(column, bytes(said[column])) for column in kept}

    def _value(self, column: str, said: bytes) -> object:
        if column not in self.numeric or said[:1] in {b'"', b"n"}:
            return msgspec.json.decode(said)
        return said.decode()

    def schema(self, path: Path) -> dict[str, Any]:
        """Return the columns of the first good lines."""
        seen: dict[str, list[object]] = {}
        for row in islice(self._good(path), INFER_ROWS):
            for name, value in row.items():
                seen.setdefault(name, []).append(value)
        if not seen:
            raise InvalidLog(f"{path}: no line is a JSON object. A log in NDJSON has one in each line.")
        return {**{name: self._kind(name, values) for name, values in seen.items()}, LINE: pl.Int64()}

    def _kind(self, name: str, values: list[object]) -> Any:  # noqa: ANN401 - a polars type, class or instance
        kind = common_kind(values)
        if name in self.numeric or (name in TIMES and not kind.is_numeric()):
            return pl.String()
        return kind if name in TIMES else LOG_COLUMNS.get(name) or kind

    def _good(self, path: Path) -> Iterator[Row]:
        for _, line in lines_of(path):
            try:
                yield self.row(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue


def csv_rows(lines: Iterator[Line], *, name: str, wanted: Sequence[str]) -> Iterator[Row | Aside]:
    """Yield each row under the header's names, counted from 1 below the header, or why it is none."""
    header, rows = _read_csv(lines)
    for number, row in enumerate(rows, start=1):
        if row is None:
            yield BadRow(name, number, "the row cannot be told into cells", "a cell holds at most 128 KiB on one line")
        elif not row:
            yield NoDecision(BLANK)
        elif len(row) != len(header):
            yield BadRow(name, number, f"{len(row)} cells", f"the header has {len(header)}")
        else:
            cells = zip(header, row, strict=True)
            yield {column: cell or None for column, cell in cells if column in wanted} | {LINE: number}


def csv_schema(path: Path) -> dict[str, Any]:
    """Return the columns of the header, all of them text."""
    header, _ = _read_csv(lines_of(path))
    return {**dict.fromkeys(header, pl.String()), LINE: pl.Int64()}


def _read_csv(lines: Iterator[Line]) -> tuple[list[str], Iterator[list[str] | None]]:
    """Return the header's cells and those of each row below it, None for a row that is no CSV."""
    rows = _rows(csv.reader(line.decode(errors="replace").replace("\0", "") + "\n" for _, line in lines))
    return next(rows, None) or [], rows


def _rows(rows: Iterator[list[str]]) -> Iterator[list[str] | None]:
    while True:
        try:
            yield next(rows)
        except csv.Error:  # a carriage return inside, or a cell that does not end
            yield None
        except StopIteration:
            return
