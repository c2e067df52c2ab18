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
        rows = list(islice(self._good(path), INFER_ROWS))
        if not rows:
            raise InvalidLog(f"{path}: no line is a JSON object. A log in NDJSON has one in each line.")
        found = pl.DataFrame(rows, infer_schema_length=None, strict=False).schema
        known = {
            name: LOG_COLUMNS[name] for name in found if name in LOG_COLUMNS and name not in (*self.numeric, *TIMES)
        }
        text = [name for name in found if name in self.numeric or (name in TIMES and not found[name].is_numeric())]
        return {**found, **known, **dict.fromkeys(text, pl.String()), LINE: pl.Int64()}

    def _good(self, path: Path) -> Iterator[Row]:
        for _, line in lines_of(path):
            try:
                yield self.row(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue


def csv_rows(lines: Iterator[Line], *, name: str, wanted: Sequence[str]) -> Iterator[Row | Aside]:
    """Yield each row under the header's names, counted from 1 below the header, or why it is none."""
    rows = csv.reader(line.decode(errors="replace").replace("\0", "") + "\n" for _, line in lines)
    header = next(rows, [])
    for number, row in enumerate(rows, start=1):
        if not row:
            yield NoDecision(BLANK)
        elif len(row) != len(header):
            yield BadRow(name, number, f"{len(row)} cells", f"the header has {len(header)}")
        else:
            cells = zip(header, row, strict=True)
            yield {column: cell or None for column, cell in cells if column in wanted} | {LINE: number}


def csv_schema(path: Path) -> dict[str, Any]:
    """Return the columns of the header, all of them text."""
    _, first = next(lines_of(path))
    return {**dict.fromkeys(next(csv.reader([first.decode(errors="replace")])), pl.String()), LINE: pl.Int64()}
