"""A source whose rows know their number, their times and their reward; counts nothing."""

from dataclasses import dataclass, replace

import narwhals as nw
import polars as pl

from ope.delays.waiting import Waiting
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.columns import LINE
from ope.formats.source import Frame, Source
from ope.frames import number, require
from ope.times import microseconds

AT, CAME, REWARD = "honeyguide: at", "honeyguide: rewarded at", "honeyguide: reward"
OWN = (AT, CAME, REWARD)


@dataclass(frozen=True, slots=True)
class Timed:
    """A polars source with three columns more: `AT` and `CAME` in microseconds, and `REWARD`, null where none is known.

    `said` names the log's own columns of these three. Rows keep their numbers, because some are going to be left out.
    """

    source: Source
    said: dict[str, str]

    @property
    def frame(self) -> pl.LazyFrame:
        """The rows."""
        native: pl.LazyFrame = self.source.frame.to_native()
        return native

    def keeping(self, rows: pl.Expr) -> "Timed":
        """Return only the rows of which the expression is true."""
        return replace(self, source=replace(self.source, frame=nw.from_native(self.frame.filter(rows))))

    def rewarded(self, reward: pl.Expr) -> Source:
        """Return the source with another reward in its column, and without the three."""
        frame = self.frame.with_columns(reward.cast(pl.Float64).alias(self.said[REWARD])).drop(OWN)
        return replace(self.source, frame=nw.from_native(frame))


def timed(source: Source, waiting: Waiting, *, reward: str) -> Timed:
    """Return the source with its rows' times.

    Raises InvalidRequest for a column that is not there or an engine other than polars, InvalidLog for a column of
    another type.
    """
    frame, raw = _lazy(source, source.frame), _lazy(source, source.raw)
    require(source, reward, option="--reward")
    require(source, waiting.at, option="--at")
    require(source, waiting.rewarded_at, option="--rewarded-at")
    reads = {AT: _time(source, frame, waiting.at), CAME: _time(source, frame, waiting.rewarded_at)}
    number(source, reward)
    numbered = _numbered(frame).with_columns(**reads, **{REWARD: pl.col(reward).cast(pl.Float64)})
    known = replace(source, frame=nw.from_native(numbered), raw=nw.from_native(_numbered(raw)))
    return Timed(known, {AT: waiting.at, CAME: waiting.rewarded_at, REWARD: reward})


def _lazy(source: Source, frame: Frame) -> pl.LazyFrame:
    native = frame.to_polars().lazy() if isinstance(frame, nw.DataFrame) else frame.to_native()
    if isinstance(native, pl.LazyFrame):
        return native
    raise InvalidRequest(
        f"{source.name}: --unresolved is worked out in polars or pandas, not in {frame.implementation}. "
        "Hand over a polars LazyFrame, or name files."
    )


def _time(source: Source, frame: pl.LazyFrame, column: str) -> pl.Expr:
    kind = frame.collect_schema()[column]
    read = pl.lit(None, pl.Int64) if kind == pl.Null else microseconds(column, kind)
    if read is None:
        raise InvalidLog(
            f"{source.name}: column {column!r} holds {kind}; it must hold times: timestamps, text such as "
            "2026-03-14T08:00:00Z, or seconds since 1970."
        )
    return read


def _numbered(frame: pl.LazyFrame) -> pl.LazyFrame:
    if LINE in frame.collect_schema():
        return frame
    return frame.with_row_index(LINE, offset=1).with_columns(pl.col(LINE).cast(pl.Int64))
