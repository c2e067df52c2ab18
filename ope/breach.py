"""Finds and quotes the first row that breaks a rule; runs only after a pass has counted one."""

from typing import Any

import narwhals as nw
import polars as pl

from ope.engine import only_row
from ope.errors import InvalidLog
from ope.formats.source import Frame
from ope.frames import Rows
from ope.rules import Rule, applying, holds

ROW = "row number"


def first_breach(rows: Rows, *, broken: int) -> InvalidLog:
    """Return the error for the first row that breaks a rule; `broken` is how many do."""
    row, rule = _first_broken(rows)
    origin = rows.origin.get(rule.column, rule.column)
    number = row.get(ROW)
    where = "a row" if number is None else f"row {number + 1:,}"
    value = _as_logged(rows, origin, number, canonical=row[rule.column])
    more = f" ({broken:,} rows break a rule.)" if broken > 1 else ""
    return InvalidLog(f"{rows.source.name}: {where}: {origin} is {value!r}; {rule.says}. {rule.way_out}{more}")


def _first_broken(rows: Rows) -> tuple[dict[str, Any], Rule]:
    rules = applying(rows.columns)
    kept = {f"keeps {rule.column}": holds(rule, rows.columns) for rule in rules}
    marked = _numbered(rows.frame).with_columns(**kept)
    # Null neither keeps nor breaks a comparison, so "not kept" is what is asked for, null included.
    broken = nw.any_horizontal(*(~nw.col(name) | nw.col(name).is_null() for name in kept), ignore_nulls=True)
    row = only_row(marked.filter(broken).head(1))
    return row, next(rule for rule in rules if not row[f"keeps {rule.column}"])


def _numbered(frame: Frame) -> Frame:
    if isinstance(frame, nw.DataFrame):
        return frame.with_row_index(ROW)
    native = frame.to_native()
    if isinstance(native, pl.LazyFrame):
        return nw.from_native(native.with_row_index(ROW))
    return frame  # SQL engines keep no order, so their rows have no number


def _as_logged(rows: Rows, origin: str, number: int | None, *, canonical: object) -> object:
    if number is None or origin not in rows.source.columns:
        return canonical
    return only_row(_at(rows.source.raw.select(origin), number))[origin]


def _at(frame: Frame, number: int) -> Frame:
    if isinstance(frame, nw.DataFrame):
        return frame.gather_every(1, offset=number).head(1)
    native: pl.LazyFrame = frame.to_native()  # only a polars frame got a row number
    return nw.from_native(native.slice(number, 1))
