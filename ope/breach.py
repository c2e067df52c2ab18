"""Finds and quotes the first rows that break a rule; runs only after a pass has counted one."""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from ope.engine import in_memory, only_row
from ope.errors import InvalidLog
from ope.formats.columns import LINE
from ope.formats.source import Frame
from ope.frames import Rows
from ope.rules import Rule, applying, holds

ROW = "row number"


@dataclass(frozen=True, slots=True)
class Breach:
    """One row that breaks a rule: its number from 1 where there is one, and what stands in the column, as logged."""

    row: int | None
    origin: str
    value: object
    rule: Rule


def first_breach(rows: Rows, *, broken: int) -> InvalidLog:
    """Return the error for the first row that breaks a rule; `broken` is how many do."""
    first = breaches(rows, most=1)[0]
    origin, value, rule = first.origin, first.value, first.rule
    where = "a row" if first.row is None else f"row {first.row:,}"
    more = f" ({broken:,} rows break a rule.)" if broken > 1 else ""
    return InvalidLog(f"{rows.source.name}: {where}: {origin} is {value!r}; {rule.says}. {rule.way_out}{more}")


def breaches(rows: Rows, *, most: int) -> list[Breach]:
    """Return the first rows that break a rule, each with the first rule that it breaks."""
    return [_breach(rows, row, rule) for row, rule in _broken(rows, most)]


def _breach(rows: Rows, row: dict[str, Any], rule: Rule) -> Breach:
    origin, number = rows.origin.get(rule.column, rule.column), row.get(ROW)
    value = _as_logged(rows, origin, number, canonical=row[rule.column])
    return Breach(None if number is None else number + 1, origin, value, rule)


def _broken(rows: Rows, most: int) -> list[tuple[dict[str, Any], Rule]]:
    rules = applying(rows.columns, rows.rules)
    kept = {f"keeps {i}": holds(rule, rows.columns) for i, rule in enumerate(rules)}
    marked = _numbered(rows.frame).with_columns(**kept)
    # Null neither keeps nor breaks a comparison, so "not kept" is what is asked for, null included.
    broken = nw.any_horizontal(*(~nw.col(name) | nw.col(name).is_null() for name in kept), ignore_nulls=True)
    found = in_memory(_in_their_order(marked.filter(broken)).head(most)).rows(named=True)
    return [(row, next(rule for i, rule in enumerate(rules) if not row[f"keeps {i}"])) for row in found]


def _in_their_order(frame: Frame) -> Frame:
    # What is first is only the same everywhere where it has been sorted; polars keeps the order by itself.
    if isinstance(frame, nw.DataFrame) or frame.implementation.is_polars():
        return frame
    return frame.sort(ROW) if ROW in frame.collect_schema().names() else frame


def _numbered(frame: Frame) -> Frame:
    if LINE in frame.collect_schema().names():
        return frame.with_columns((nw.col(LINE) - 1).alias(ROW))
    if isinstance(frame, nw.DataFrame):
        return frame.with_row_index(ROW)
    native = frame.to_native()
    if isinstance(native, pl.LazyFrame):
        return nw.from_native(native.with_row_index(ROW))
    return frame  # SQL engines keep no order, so their rows have no number


def _as_logged(rows: Rows, origin: str, number: int | None, *, canonical: object) -> object:
    if number is None or origin not in rows.source.columns:
        return canonical
    raw = rows.source.raw
    if LINE in raw.collect_schema().names():
        return only_row(raw.filter(nw.col(LINE) == number + 1).select(origin))[origin]
    return only_row(_at(raw.select(origin), number))[origin]


def _at(frame: Frame, number: int) -> Frame:
    if isinstance(frame, nw.DataFrame):
        return frame.gather_every(1, offset=number).head(1)
    native: pl.LazyFrame = frame.to_native()  # only a polars frame got a row number
    return nw.from_native(native.slice(number, 1))
