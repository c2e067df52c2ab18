"""Reads the time of a row, however it was written, as microseconds since 1970 in UTC; null where it is none."""

import polars as pl

_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
_UNITS = ((1e17, 1 / 1000), (1e14, 1), (1e11, 1000))
"""Numbers from which on an epoch counts nanoseconds, microseconds or milliseconds, with the factor to microseconds."""


def microseconds(name: str, kind: pl.DataType) -> pl.Expr | None:
    """Return the column as Int64, or None for a type that holds no times; a time without a zone is UTC."""
    column = pl.col(name)
    if isinstance(kind, pl.Datetime | pl.Date):
        return _of_datetime(column)
    if kind.is_numeric():
        return _of_epoch(column.cast(pl.Float64))
    if kind == pl.String:
        number = column.str.strip_chars().cast(pl.Float64, strict=False)
        return pl.coalesce(*_of_text(column), _of_epoch(number))
    return None


def _of_datetime(time: pl.Expr) -> pl.Expr:
    return time.cast(pl.Datetime("us")).cast(pl.Int64)


def _of_text(column: pl.Expr) -> list[pl.Expr]:
    plain = column.str.strip_chars().str.replace("T", " ", literal=True).str.replace("Z", "+00:00", literal=True)
    zoned = plain.str.to_datetime(_FORMATS[0], time_unit="us", time_zone="UTC", strict=False)
    bare = [plain.str.to_datetime(text, time_unit="us", strict=False) for text in _FORMATS[1:]]
    return [_of_datetime(time) for time in (zoned, *bare)]


def _of_epoch(number: pl.Expr) -> pl.Expr:
    factor = pl.lit(1e6)
    for least, to_microseconds in reversed(_UNITS):
        factor = pl.when(number.abs() >= least).then(pl.lit(float(to_microseconds))).otherwise(factor)
    return pl.when(number.is_finite()).then((number * factor).round().cast(pl.Int64, strict=False))
