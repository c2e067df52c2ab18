"""Makes columns of values that were read one by one: what does not fit a column's type is null, whatever it is."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
import polars as pl

from ope.formats.asides import Row

Kind: TypeAlias = Any
"""A polars type, as class or instance."""

_MISFITS = (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError)


def as_frame(rows: Sequence[Row], schema: dict[str, Kind]) -> pl.DataFrame:
    """Return rows as a frame of these columns; a row may lack some."""
    columns = [as_kind(name, [row.get(name) for row in rows], kind) for name, kind in schema.items()]
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=len(rows))


def common_kind(values: Sequence[object]) -> Kind:
    """Return the type that the values have together; text where they have none."""
    numbers = {float, int}
    if {type(value) for value in values if value is not None} == numbers:
        return pl.Float64()
    try:
        found = pl.Series(values).dtype
    except _MISFITS:
        return pl.String()
    return pl.String() if found in {pl.Object(), pl.Int128()} else found


def as_kind(name: str, values: Sequence[object], kind: Kind) -> pl.Series:
    """Return the values as a column of a type; null is what cannot be had in it."""
    if kind == pl.String:
        values = [_text(value) for value in values]
    try:
        return pl.Series(name, values, dtype=kind, strict=False)
    except _MISFITS:
        return pl.Series(name, list(_fitting(values, kind)), dtype=kind, strict=False)


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _fitting(values: Iterable[object], kind: Kind) -> Iterable[object]:
    for value in values:
        try:
            yield pl.Series([value], dtype=kind, strict=False)[0]
        except _MISFITS:
            yield None
