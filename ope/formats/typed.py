"""Gives the columns of a chunk the types that a log of ours has; what cannot be had of a cell is said, not nulled."""

from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from ope.formats.asides import Unreadable, excerpt
from ope.formats.columns import LOG_COLUMNS, NUMBERS, PAIRS, TEXTS
from ope.formats.series import as_kind

_LISTS: dict[Any, msgspec.json.Decoder[Any]] = {
    PAIRS: msgspec.json.Decoder(list[dict[str, Any]]),
    NUMBERS: msgspec.json.Decoder(list[float | None]),
    TEXTS: msgspec.json.Decoder(list[str | None]),
}


def typed(chunk: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, Unreadable]]]:
    """Return the chunk with known columns in their types, and the place of each cell that is none of its type."""
    broken: list[tuple[int, Unreadable]] = []
    for name in (name for name in chunk.columns if name in LOG_COLUMNS and chunk.schema[name] != LOG_COLUMNS[name]):
        column = _as_type(chunk[name], LOG_COLUMNS[name])
        broken += _lost(chunk[name], column)
        chunk = chunk.with_columns(column.alias(name))
    return chunk, broken


def list_of_text(name: str, kind: Any) -> pl.Expr:  # noqa: ANN401 - a polars type, class or instance
    """Return a column of JSON text as lists of this type, null where it says none."""
    return pl.col(name).map_batches(lambda column: _of_text(column, kind), return_dtype=kind, is_elementwise=True)


def _as_type(column: pl.Series, kind: Any) -> pl.Series:  # noqa: ANN401 - a polars type, class or instance
    if kind == pl.String and column.dtype.is_nested():
        return pl.Series([_encoded(value) for value in column.to_list()], dtype=pl.String)
    if column.dtype == pl.String:
        return _of_text(column, kind)
    return column.cast(kind, strict=False)


def _of_text(column: pl.Series, kind: Any) -> pl.Series:  # noqa: ANN401 - as above
    if kind in _LISTS:
        return as_kind(column.name, [_decoded(value, kind) for value in column.to_list()], kind)
    bare = column.str.strip_chars()
    if kind == pl.Datetime("us", "UTC"):
        return bare.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    if kind == pl.Boolean:
        return bare.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=kind)
    number = bare.cast(pl.Float64, strict=False)
    return number.cast(kind, strict=False)


def _encoded(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None, kind: Any) -> object:  # noqa: ANN401 - as above
    try:
        return None if text is None else _LISTS[kind].decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _lost(before: pl.Series, after: pl.Series) -> Iterator[tuple[int, Unreadable]]:
    said = (
        before.is_not_null() if before.dtype != pl.String else before.is_not_null() & (before.str.strip_chars() != "")
    )
    for place in (said & after.is_null()).arg_true().to_list():
        yield place, Unreadable(f"{before.name} is {excerpt(str(before[place]))}", f"the column holds {after.dtype}")
