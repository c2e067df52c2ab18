"""Opens logs of every format for the linter, broken ones too: what cannot be read is told, never raised.

Parquet, and text over which polars does not trip, is read where it is. All other text is read line by line, once,
into a copy of the columns that are judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ope.diagnostics.roles import NESTED, NUMERIC, ROLES, Roles
from ope.errors import InvalidLog
from ope.formats.asides import Asides
from ope.formats.columns import LINE, NUMBERS, PAIRS
from ope.formats.files import LINEWISE, open_log, reading
from ope.formats.guess import PARQUET, checked_format, guessed
from ope.formats.source import Source
from ope.formats.typed import list_of_text

CONTENT = "content"
"""The hash of all that a row says."""

NONE = Asides()
_NEEDED = ("reward", "propensity")
_LISTS = {"distribution": PAIRS, "predicted_rewards": NUMBERS}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's rows as it named them, or why there are none, and what it holds beside them."""

    name: str
    frame: pl.LazyFrame | None
    why_not: str = ""
    asides: Asides = NONE


@dataclass(frozen=True, slots=True)
class Opening:
    """How files are opened: the columns that are judged, the files' format if it was said, and room for copies."""

    roles: Roles
    segments: Sequence[str]
    log_format: str | None
    workspace: Path

    def trusting(self, paths: Sequence[Path]) -> list[Opened]:
        """Return every file, opened but not read; raises InvalidLog where one cannot even be opened."""
        return [self._trusted(path, place) for place, path in enumerate(paths)]

    def doubting(self, paths: Sequence[Path]) -> list[Opened]:
        """Return every file, read through to its end; what is broken in it is told, or why there is none of it."""
        return [self._doubted(path, place) for place, path in enumerate(paths)]

    def _trusted(self, path: Path, place: int) -> Opened:
        kind = self._kind(path)
        if kind in LINEWISE:
            return self._copied(open_log(path, numeric=(), kind=kind, report=True), place, optional=True)
        source = open_log(path, numeric=[self.roles.of(role) for role in NUMERIC], kind=kind)
        with reading(source.name):
            raw: pl.LazyFrame = source.raw.to_native()
            lists = [pl.col(name).str.json_decode(of) for name, of in self._lists_as_text(raw)]
        return Opened(str(path), raw.with_columns(lists))

    def _doubted(self, path: Path, place: int) -> Opened:
        try:
            kind = self._kind(path)
            if kind == PARQUET:
                return self._read_whole(path)
            source = open_log(path, numeric=self._judged(), kind=kind, report=True)
            return self._copied(source, place, optional=kind in LINEWISE)
        except InvalidLog as error:
            return Opened(str(path), None, str(error))

    def _kind(self, path: Path) -> str | None:
        if self.log_format is not None:
            return checked_format(self.log_format, option="--from")
        return guessed(path) if path.is_file() else None  # what is none, opening it tells

    def _judged(self) -> list[str]:
        return list(dict.fromkeys([*(self.roles.of(role) for role in ROLES), *self.segments]))

    def _read_whole(self, path: Path) -> Opened:
        # A file may break at its very end, in any column; only reading all of it tells.
        opened = self._trusted(path, 0)
        with reading(opened.name):
            if opened.frame is not None:
                opened.frame.select(pl.all().null_count()).collect(engine="streaming")
        return opened

    def _copied(self, source: Source, place: int, *, optional: bool) -> Opened:
        copy = self.workspace / f"{place}.parquet"
        with reading(source.name):
            raw: pl.LazyFrame = source.raw.to_native()
            schema = raw.collect_schema()
            said = [name for name in schema if name != LINE]
            content = pl.struct(said).hash() if said else pl.lit(0, pl.UInt64)
            text = [list_of_text(name, of) for name, of in self._lists_as_text(raw)]
            kept = [name for name in self._judged() if name in schema]
            raw.select(*kept, LINE, content.alias(CONTENT)).with_columns(text).sink_parquet(copy)
            frame = pl.scan_parquet(copy, glob=False)
            frame = frame.drop(self._unsaid(frame, kept) if optional else [])
        return Opened(source.name, frame, asides=NONE if source.asides is None else source.asides())

    def _lists_as_text(self, raw: pl.LazyFrame) -> list[tuple[str, pl.DataType]]:
        schema = raw.collect_schema()
        lists = {self.roles.of(role): _LISTS[role] for role in NESTED}
        return [(name, of) for name, of in lists.items() if schema.get(name) == pl.String]

    def _unsaid(self, frame: pl.LazyFrame, columns: Sequence[str]) -> list[str]:
        """Return the columns that no row has: a format knows more than a log in it says."""
        counted = frame.select(pl.len().alias(CONTENT), pl.col(columns).count()).collect().row(0, named=True)
        needed = {self.roles.of(role) for role in _NEEDED}
        return [name for name in columns if counted[CONTENT] and not counted[name] and name not in needed]
