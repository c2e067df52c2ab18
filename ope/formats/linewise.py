"""A log that is read line by line, as a lazy frame: chunk after chunk, so that its size does not matter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from ope.errors import InvalidLog
from ope.formats.asides import Aside, Asides, BadRow, NoDecision, Row, gathered
from ope.formats.columns import ROW_WEIGHT
from ope.formats.lines import Line, lines_of
from ope.formats.series import as_frame
from ope.formats.source import Source

CHUNK = 5_000
_REPORT = "Mend the file, or leave broken rows out and have them listed: --on-bad-rows report."


class Reader(Protocol):
    """Turns lines into rows, by their columns' names; what is no decision it says."""

    def __call__(self, lines: Iterator[Line], *, name: str, wanted: Sequence[str]) -> Iterator[Row | Aside]:
        """Yield the rows; of the columns that are not `wanted`, none need be made."""


@dataclass(frozen=True, slots=True)
class _Scan:
    path: Path
    reader: Reader
    schema: dict[str, Any]
    report: bool

    def rows(self, wanted: Sequence[str]) -> Iterator[Row | Aside]:
        return self.reader(lines_of(self.path), name=str(self.path), wanted=wanted)

    def asides(self) -> Asides:
        return gathered(self.rows((ROW_WEIGHT,)))

    def frames(
        self, columns: list[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(self.schema) if columns is None else columns
        schema = {name: self.schema[name] for name in wanted}
        rows = islice(self.decisions(wanted), most)
        while chunk := list(islice(rows, CHUNK)):
            frame = as_frame(chunk, schema)
            yield frame if predicate is None else frame.filter(predicate)

    def decisions(self, wanted: Sequence[str]) -> Iterator[Row]:
        for row in self.rows(wanted):
            if isinstance(row, BadRow) and not self.report:
                raise InvalidLog(f"{row}. {_REPORT}")
            if not isinstance(row, BadRow | NoDecision):
                yield row


def scan_lines(path: Path, reader: Reader, schema: dict[str, Any], *, report: bool) -> Source:
    """Return the file as a lazy source of its decisions.

    A row that cannot be read raises InvalidLog when it is met, or is left out if it is to be reported.
    """
    scan = _Scan(path, reader, schema, report)
    frame = nw.from_native(register_io_source(scan.frames, schema=schema, is_pure=True))
    return Source(name=str(path), frame=frame, raw=frame, asides=scan.asides)
