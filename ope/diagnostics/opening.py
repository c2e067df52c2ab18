"""Opens logs for the linter, broken ones too: what cannot be read becomes a mark, never an exception.

Where polars trips over a file, those of text are read again line by line: each broken line is kept as
a row that holds nothing but its mark, so that the numbers of the rows behind it stay right.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ope.diagnostics.roles import NESTED, NUMERIC, ROLES, Roles
from ope.errors import InvalidLog
from ope.formats.files import open_log, reading

BROKEN = "honeyguide: broken line"
_LINES = {".csv": "csv", ".ndjson": "json", ".jsonl": "json"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's rows as it named them, or why there are none."""

    name: str
    frame: pl.LazyFrame | None
    why_not: str = ""


def open_trusting(paths: Sequence[Path], roles: Roles) -> list[Opened]:
    """Return every file, opened but not read; raises InvalidLog where one cannot even be opened."""
    return [Opened(str(path), _open(path, roles)) for path in paths]


def open_doubting(paths: Sequence[Path], roles: Roles, segments: Sequence[str], *, workspace: Path) -> list[Opened]:
    """Return every file, read through to its end; what is broken in it is marked, or why there is none of it."""
    return [_read(path, roles, segments, workspace / f"{place}.ndjson") for place, path in enumerate(paths)]


def _open(path: Path, roles: Roles) -> pl.LazyFrame:
    frame: pl.LazyFrame = open_log(path, numeric=[roles.of(role) for role in NUMERIC]).raw.to_native()
    return frame


def _read(path: Path, roles: Roles, segments: Sequence[str], copy: Path) -> Opened:
    kind = _LINES.get(path.suffix.lower())
    if kind is None or path.stat().st_size == 0:
        return _read_whole(path, roles)
    wanted = {roles.of(role) for role in ROLES} | set(segments)
    _copy_lines(path, kind, copy, wanted, nested={roles.of(role) for role in NESTED})
    return Opened(str(path), _scan_copy(copy, roles))


def _read_whole(path: Path, roles: Roles) -> Opened:
    # A file may break at its very end, in any column; only reading all of it tells.
    try:
        frame = _open(path, roles)
        with reading(str(path)):
            frame.select(pl.all().null_count()).collect(engine="streaming")
    except InvalidLog as error:
        return Opened(str(path), None, str(error))
    return Opened(str(path), frame)


def _copy_lines(path: Path, kind: str, copy: Path, wanted: set[str], *, nested: set[str]) -> None:
    with path.open(encoding="utf-8", errors="replace", newline="") as lines, copy.open("w", encoding="utf-8") as out:
        for row in _csv_rows(lines) if kind == "csv" else _json_rows(lines):
            out.write(json.dumps(_plain(row, wanted, nested)) + "\n")


def _csv_rows(lines: Iterator[str]) -> Iterator[dict[str, Any] | None]:
    rows = csv.reader(line.replace("\0", "") for line in lines)
    header = _cells(rows) or []
    while (row := _cells(rows)) is not None:
        yield dict(zip(header, row, strict=True)) if len(row) == len(header) else None


def _cells(rows: Iterator[list[str]]) -> list[str] | None:
    """Return the next line's cells, none for a line that is no CSV (a cell of more than 128 KiB), None at the end."""
    try:
        return next(rows, None)
    except csv.Error:
        return []


def _json_rows(lines: Iterator[str]) -> Iterator[dict[str, Any] | None]:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        yield row if isinstance(row, dict) else None


def _plain(row: dict[str, Any] | None, wanted: set[str], nested: set[str]) -> dict[str, Any]:
    if row is None:
        return {BROKEN: True}
    kept = {name: value for name, value in row.items() if name in wanted and value not in (None, "")}
    return {name: _nested(value) if name in nested else _text(value) for name, value in kept.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _nested(value: object) -> object:
    if not isinstance(value, list):
        return None
    return [_entry(entry) for entry in value]


def _entry(entry: object) -> object:
    if isinstance(entry, dict):
        return {"action": _text(entry.get("action")), "propensity": _float(entry.get("propensity"))}
    return _float(entry)


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _scan_copy(copy: Path, roles: Roles) -> pl.LazyFrame:
    kinds: dict[str, Any] = {
        roles.distribution: pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64})),
        roles.predicted_rewards: pl.List(pl.Float64),
        BROKEN: pl.Boolean,
    }
    there: dict[str, None] = {}
    with copy.open(encoding="utf-8") as lines:
        for line in lines:
            there |= dict.fromkeys(json.loads(line))
    schema = {name: kinds.get(name, pl.String) for name in there}
    return pl.scan_ndjson(copy, schema=schema, ignore_errors=True) if schema else pl.LazyFrame()
