"""Converts a log from one format into another, chunk by chunk; what gets lost is counted, never dropped silently."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path

import polars as pl

from ope.atomic import atomically
from ope.bad_rows import REFUSE, reported
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.asides import Asides, BadRow, Unreadable, gathered
from ope.formats.columns import LINE, LOG_COLUMNS, ROW_WEIGHT
from ope.formats.files import open_log, reading
from ope.formats.guess import OPEN_BANDIT, checked_format, format_of_name, guessed
from ope.formats.source import Source
from ope.formats.targets import TARGETS, Target, Writer
from ope.formats.typed import typed

CHUNK = 10_000
ASSUMED = {ROW_WEIGHT: 1.0, "outcome": "rewarded"}
"""What a reader assumes where a format does not say it: a row that says so loses nothing."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written; `lost` are the rows that had something in a column which the format does not carry.

    `partly` says what becomes of the columns that it carries in part; `asides` what was not written.
    """

    sources: tuple[str, ...]
    target: str
    rows: int
    lost: dict[str, int]
    partly: dict[str, str]
    asides: Asides


@dataclass(slots=True)
class _Work:
    """One conversion as it goes on: what has been written, lost and set aside so far."""

    target: Target
    report: bool
    progress: Progress
    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    bad: list[BadRow] = field(default_factory=list)
    broken: int = 0

    def add(self, chunk: pl.DataFrame, numbers: Sequence[int], name: str, writer: Writer) -> None:
        """Write one chunk's rows."""
        chunk, unreadable = typed(chunk)
        unread = {place for place, _ in unreadable}
        self.set_aside(unreadable, numbers, name)
        whole = [place for place in range(chunk.height) if place not in unread]
        chunk, numbers = chunk[whole] if unread else chunk, [numbers[place] for place in whole]
        unwritten = list(writer.write(chunk))
        self.set_aside(unwritten, numbers, name)
        refused = {place for place, _ in unwritten}
        self.count(chunk[[place for place in range(chunk.height) if place not in refused]] if refused else chunk)
        self.progress(self.rows)

    def set_aside(self, found: Sequence[tuple[int, Unreadable]], numbers: Sequence[int], name: str) -> None:
        """Count rows that cannot be converted; raises InvalidLog where that is not wanted."""
        rows = [error.at(name, numbers[place]) for place, error in sorted(found, key=lambda one: one[0])]
        if rows and not self.report:
            raise InvalidLog(f"{rows[0]}. Mend it, or leave such rows out and have them listed: --on-bad-rows report.")
        self.bad += rows[: max(0, 100 - len(self.bad))]
        self.broken += len({row.row for row in rows})

    def count(self, chunk: pl.DataFrame) -> None:
        """Count what was written, and what the format does not carry of it."""
        self.rows += chunk.height
        for name in chunk.columns:
            said = chunk[name].is_not_null()
            if name in ASSUMED:
                said &= chunk[name] != ASSUMED[name]
            found = int(said.sum())
            if found:
                self.seen.add(name)
            if found and self.target.carries is not None and name not in self.target.carries:
                self.lost[name] += found


def convert(
    paths: Sequence[Path],
    out: Path,
    *,
    source: str | None = None,
    target: str | None = None,
    on_bad_rows: str = REFUSE,
    progress: Progress = lambda _: None,
) -> Conversion:
    """Write the files as one log to `out`, which is replaced when all is there; `progress` is told of rows written.

    `source` and `target` name formats where the files' names or first lines do not tell. Raises InvalidRequest for
    what cannot be asked, InvalidLog for what cannot be read or, unless it is reported, written.
    """
    report = reported(on_bad_rows)
    to = format_of_name(out) if target is None else checked_format(target, option="--to")
    _not_onto_itself(paths, out)
    kinds = [_kind(path, source) for path in paths]
    # As text, a cell that is none of its column's type can be said; polars would make a null of it.
    text = tuple(LOG_COLUMNS) if report else ()
    sources = [open_log(path, numeric=text, kind=kind, report=report) for path, kind in zip(paths, kinds, strict=True)]
    columns = _columns(sources, kinds)
    _has_what_is_needed(columns, to, TARGETS[to])
    work = _Work(TARGETS[to], report, progress)
    with atomically(out) as file:
        writer = work.target.writer(file)
        for one in sources:
            _add(one, columns, writer, work)
        if not work.rows:
            raise InvalidLog(f"{', '.join(map(str, paths))}: there is no row to write.{_first(work)}")
        writer.close()
    lost = {name: work.lost[name] for name in columns if work.lost[name]}
    partly = {name: how for name, how in work.target.partly.items() if name in work.seen}
    return Conversion(tuple(kinds), to, work.rows, lost, partly, _asides(sources, work))


def _kind(path: Path, asked: str | None) -> str:
    if asked is not None:
        return checked_format(asked, option="--from")
    if not path.is_file():
        raise InvalidRequest(f"{path}: no such file. Give the path of a log.")
    return guessed(path)


def _not_onto_itself(paths: Sequence[Path], out: Path) -> None:
    if any(out.exists() and path.exists() and out.samefile(path) for path in paths):
        raise InvalidRequest(f"{out} is one of the files that are read; write to another.")


def _columns(sources: Sequence[Source], kinds: Sequence[str]) -> dict[str, pl.DataType | type[pl.DataType]]:
    """Return the columns of the log that the files are together, in the order in which they appear."""
    found: dict[str, pl.DataType | type[pl.DataType]] = {}
    for source, kind in zip(sources, kinds, strict=True):
        native: pl.LazyFrame = source.raw.to_native()
        for name, dtype in native.collect_schema().items():
            # An Open Bandit file keeps its own columns beside ours, for those who name them.
            if name == LINE or (kind == OPEN_BANDIT and name not in LOG_COLUMNS):
                continue
            own = LOG_COLUMNS.get(name, dtype)
            if found.setdefault(name, own) != own:
                found[name] = pl.String()
    return found


def _has_what_is_needed(columns: Mapping[str, object], to: str, target: Target) -> None:
    for one_of in target.needs:
        if not set(one_of) & set(columns):
            raise InvalidRequest(
                f"{to} needs {' or '.join(one_of)}, and the log has {', '.join(columns)}. "
                "Rename or add the column, or choose a format that does without: parquet, ndjson or csv."
            )


def _add(source: Source, columns: dict[str, pl.DataType | type[pl.DataType]], writer: Writer, work: _Work) -> None:
    native: pl.LazyFrame = source.raw.to_native()
    first = 1
    with reading(source.name):
        for chunk in native.collect_batches(chunk_size=CHUNK, maintain_order=True):
            numbers = chunk[LINE].to_list() if LINE in chunk.columns else list(range(first, first + chunk.height))
            first += chunk.height
            work.add(_in_columns(chunk, columns), numbers, source.name, writer)


def _in_columns(chunk: pl.DataFrame, columns: dict[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in columns.items() if name not in chunk.columns]
    whole = chunk.with_columns(missing).select(list(columns))
    other = [name for name in columns if name not in LOG_COLUMNS and whole.schema[name] != columns[name]]
    return whole.with_columns(pl.col(name).cast(columns[name]) for name in other)


def _asides(sources: Sequence[Source], work: _Work) -> Asides:
    beside = reduce(add, (source.asides() for source in sources if source.asides is not None), Asides())
    found = gathered(work.bad)
    return beside + Asides(work.broken, found.shown)


def _first(work: _Work) -> str:
    return f" Of {work.broken:,} bad rows, the first is: {work.bad[0]}." if work.bad else ""
