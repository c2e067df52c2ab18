"""Parts of a log that are judged each alone: the segments of a column, and windows of time."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import polars as pl

from ope.engine import in_memory
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.files import reading
from ope.formats.source import Frame, Source
from ope.frames import require
from ope.times import microseconds

MOST_SEGMENTS = 50
"""Of a column's values, the commonest are judged alone and all others together."""
OTHERS = "(others)"
MOST_WINDOWS = 1_000
AT = "at"
PART = "part of the log"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Cuts:
    """How a log is cut: by the values of columns, and into windows of so many seconds of the column `at`."""

    segments: tuple[str, ...] = ()
    window_s: int | None = None
    at: str = AT


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one part: what cuts it, its value (None for rows without one), and the sources cut down to it."""

    column: str
    value: str | None
    sources: Sequence[Source]


def window_seconds(text: str | None) -> int | None:
    """Return the length that `6h`, `1d` or `2w` say; raises InvalidRequest for what says none."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]*)([smhdw])", text.strip())
    if found is None:
        raise InvalidRequest(f"--window {text}: a length of time is a number and s, m, h, d or w, such as 6h or 1d.")
    return int(found[1]) * _UNITS[found[2]]


def parts_of(sources: Sequence[Source], cuts: Cuts) -> list[Part]:
    """Return the parts in order: the segments of each column, the commonest first, then the windows, the first first.

    A pass over each source for each column. Raises InvalidRequest for a column that is not there or holds no plain
    values, and for windows that are too many.
    """
    parts = [part for column in cuts.segments for part in _segments(sources, column)]
    return parts if cuts.window_s is None else parts + _windows(sources, cuts.at, cuts.window_s)


def _segments(sources: Sequence[Source], column: str) -> list[Part]:
    marked = [_marked(source, _segment(source, column)) for source in sources]
    counted = _counted(marked)
    values = sorted(counted, key=lambda value: (-counted[value], value is None, value or ""))
    kept = values if len(values) <= MOST_SEGMENTS else values[: MOST_SEGMENTS - 1]
    found = [_part(marked, column, value) for value in kept]
    if len(kept) == len(values):
        return found
    named = [value for value in kept if value is not None]
    others = ~nw.col(PART).is_in(named)
    if None not in kept:
        others = others | nw.col(PART).is_null()
    return [*found, Part(column, OTHERS, [_where(source, others) for source in marked])]


def _windows(sources: Sequence[Source], column: str, seconds: int) -> list[Part]:
    marked = [_marked(source, _window(source, column, seconds)) for source in sources]
    counted = _counted(marked)
    if len(counted) > MOST_WINDOWS:
        raise InvalidRequest(
            f"--window cuts the log into {len(counted):,} windows; at most {MOST_WINDOWS:,} are judged. Take longer "
            "ones."
        )
    starts = sorted((value for value in counted if value is not None), key=int)
    none = [_part(marked, column, None)] if None in counted else []
    timed = [replace(_part(marked, column, start), value=_clock(int(start))) for start in starts]
    return timed + none


def _part(marked: Sequence[Source], column: str, value: str | None) -> Part:
    inside = nw.col(PART).is_null() if value is None else nw.col(PART) == value
    return Part(column, value, [_where(source, inside) for source in marked])


def _marked(source: Source, frame: Frame) -> Source:
    return replace(source, frame=frame, asides=None)


def _where(source: Source, inside: nw.Expr) -> Source:
    return replace(source, frame=source.frame.filter(inside))


def _counted(marked: Sequence[Source]) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for source in marked:
        with reading(source.name):
            ids = source.frame.select(nw.col(PART), n=nw.lit(1)).group_by(PART).agg(nw.col("n").sum())
            counts.update({row[PART]: row["n"] for row in in_memory(ids).rows(named=True)})
    return counts


def _segment(source: Source, column: str) -> Frame:
    """Return the source's rows with the column as text; `context.device` reaches into a column of JSON."""
    if column not in source.columns and "." in column:
        return _of_json(source, column)
    require(source, column, option="--segment")
    kind = source.frame.collect_schema()[column]
    if isinstance(kind, nw.List | nw.Struct | nw.Array):
        raise InvalidRequest(f"{source.name}: --segment {column} holds {kind}; a segment is one plain value.")
    return source.frame.with_columns(nw.col(column).cast(nw.String()).alias(PART))


def _of_json(source: Source, column: str) -> Frame:
    outer, _, path = column.partition(".")
    require(source, outer, option="--segment")
    native = _polars(source, f"--segment {column}")
    if native.collect_schema()[outer] != pl.String:
        raise InvalidRequest(f"{source.name}: --segment {column}: column {outer!r} holds no JSON text to look into.")
    steps = "".join(f"[{step!r}]" for step in path.split("."))
    return nw.from_native(native.with_columns(pl.col(outer).str.json_path_match(f"${steps}").alias(PART)))


def _window(source: Source, column: str, seconds: int) -> Frame:
    require(source, column, option="--window")
    native = _polars(source, "--window")
    time = microseconds(column, native.collect_schema()[column])
    if time is None:
        kind = native.collect_schema()[column]
        raise InvalidLog(f"{source.name}: column {column!r} holds {kind}, no times; windows are cut by time.")
    length = seconds * 1_000_000
    return nw.from_native(native.with_columns((time // length * length).cast(pl.String).alias(PART)))


def _polars(source: Source, what: str) -> pl.LazyFrame:
    frame: Any = source.frame
    if isinstance(frame, nw.DataFrame):
        return frame.to_polars().lazy()
    native = frame.to_native()
    if not isinstance(native, pl.LazyFrame):
        raise InvalidRequest(
            f"{source.name}: {what} is cut in polars or pandas, not in {frame.implementation}. Add a column for it, "
            "and cut by that with --segment."
        )
    return native


def _clock(microseconds_: int) -> str:
    return (_EPOCH + dt.timedelta(microseconds=microseconds_)).isoformat().replace("+00:00", "Z")
