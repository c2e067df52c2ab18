"""Looks through a log of rankings once: how many slots, which columns are whole, which row breaks a rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog
from ope.formats.files import reading
from ope.formats.source import Source
from ope.slates.columns import LISTS, NUMBERS, REASON, RULES

ROW = "row number"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a log has of rankings: the most slots, the columns without a null, and in words why not others."""

    slots: int
    whole: frozenset[str]
    why_not: Mapping[str, str]

    def __add__(self, other: "Survey") -> "Survey":
        """Return the survey of both logs: what one of them lacks, both lack."""
        return Survey(max(self.slots, other.slots), self.whole & other.whole, {**other.why_not, **self.why_not})


def survey(source: Source) -> Survey:
    """Return what the log has; raises InvalidLog for a list that breaks a rule, or is not as long as its neighbours."""
    schema = source.frame.collect_schema()
    lists = [name for name in LISTS if name in schema and _is_list(schema[name])]
    numbers = [name for name in NUMBERS if name in schema]
    frame: pl.LazyFrame = source.frame.to_native()
    with reading(source.name):
        found = frame.select(*_counts(lists, numbers), *_slots(lists), **_reason(schema)).collect(engine="streaming")
        row = found.row(0, named=True)
        _refuse(source, frame, lists)
    missing = {name: _why(name, row) for name in (*lists, *numbers) if row[name]}
    absent = {name: _absent(name, schema) for name in (*LISTS, *NUMBERS) if name not in (*lists, *numbers)}
    return Survey(row["slots"] or 0, frozenset(lists + numbers) - set(missing), {**absent, **missing})


def _is_list(kind: object) -> bool:
    return isinstance(kind, nw.List)


def _absent(name: str, schema: Mapping[str, Any]) -> str:
    if name not in schema:
        return f"there is no column {name!r}"
    return f"column {name!r} holds {schema[name]}, no list of numbers (Parquet and NDJSON have lists)"


def _counts(lists: list[str], numbers: list[str]) -> list[pl.Expr]:
    return [pl.col(name).is_null().sum().alias(name) for name in (*lists, *numbers)]


def _slots(lists: list[str]) -> list[pl.Expr]:
    longest = [pl.col(name).list.len().max() for name in lists]
    return [pl.max_horizontal(*longest).alias("slots") if longest else pl.lit(0).alias("slots"), pl.len().alias("rows")]


def _reason(schema: Mapping[str, Any]) -> dict[str, pl.Expr]:
    return {REASON: pl.col(REASON).drop_nulls().first()} if REASON in schema else {}


def _why(name: str, row: Mapping[str, Any]) -> str:
    told = f" ({row[REASON]})" if name == "pscore_item_position" and row.get(REASON) else ""
    return f"{name} is null in {row[name]:,} of {row['rows']:,} rows{told}"


def _refuse(source: Source, frame: pl.LazyFrame, lists: list[str]) -> None:
    rules = [rule for rule in RULES if rule.column in lists]
    broken = {
        rule.column: pl.col(rule.column).list.eval(rule.broken).list.any().fill_null(value=False) for rule in rules
    }
    lengths = [pl.col(name).list.len() for name in lists]
    uneven = pl.any_horizontal(*(one.ne_missing(pl.coalesce(lengths)) & one.is_not_null() for one in lengths))
    if not lists:
        return
    marks = frame.with_row_index(ROW).with_columns(**{f"broken {name}": mark for name, mark in broken.items()})
    first = marks.filter(pl.any_horizontal(pl.col([f"broken {name}" for name in broken]), uneven)).head(1).collect()
    if first.is_empty():
        return
    row = first.row(0, named=True)
    where = f"{source.name}: row {row[ROW] + 1:,}"
    for rule in rules:
        if row[f"broken {rule.column}"]:
            raise InvalidLog(f"{where}: {rule.column} is {row[rule.column]}; {rule.says}, in each slot. Log it anew.")
    shown = ", ".join(f"{name} has {len(row[name])}" for name in lists if row[name] is not None)
    raise InvalidLog(f"{where}: {shown} entries; they have one for each slot of the ranking. Log them alike.")
