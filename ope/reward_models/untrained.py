"""Whether the model behind a log's own predictions had seen the rows that it predicts, by what is declared of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.columns import TRAINED
from ope.formats.source import Source
from ope.frames import number, require
from ope.scoring import in_polars
from ope.times import microseconds

AT = "at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is said of predictions that stand in columns, one of the two at most.

    `until` is the RFC 3339 time through which the model's training data go; `trained` the column that says of each row
    whether the model that predicted it was trained on it. Raises InvalidRequest for both, or for what is no time.
    """

    until: str | None = None
    trained: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.until is not None and self.trained is not None:
            raise InvalidRequest(
                f"--trained-until {self.until} and --trained {self.trained} are two answers to one question; give one."
            )
        if self.until is not None:
            _time(self.until)

    @property
    def column(self) -> str | None:
        """The column that tells, if anything is declared."""
        return AT if self.until is not None else self.trained

    @property
    def origin(self) -> dict[str, str]:
        """Where the mark of a row comes from, for an error to quote."""
        return {} if self.column is None else {TRAINED: self.column}


NOTHING = Declared()


def marked(sources: Sequence[Source], declared: Declared) -> list[Source]:
    """Return the log with a column that is 1 where the model had seen the row, which a rule refuses."""
    if declared.until is not None:
        return [_by_time(source, _time(declared.until)) for source in sources]
    if declared.trained is not None:
        return [_by_column(source, declared.trained) for source in sources]
    return list(sources)


def _by_column(source: Source, column: str) -> Source:
    require(source, column, option="--trained")
    return replace(source, frame=source.frame.with_columns(number(source, column).alias(TRAINED)))


def _by_time(source: Source, until: int) -> Source:
    require(source, AT, option=AT)
    frame: pl.LazyFrame = in_polars(source).frame.to_native()
    at = microseconds(AT, frame.collect_schema()[AT])
    if at is None:
        raise InvalidLog(f"{source.name}: column {AT!r} holds no times; --trained-until compares them. Write RFC 3339.")
    return replace(source, frame=nw.from_native(frame.with_columns((at <= until).cast(pl.Float64).alias(TRAINED))))


def _time(said: str) -> int:
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise InvalidRequest(
            f"--trained-until is {said!r}; it is a time as RFC 3339 writes it, such as 2026-03-14T08:00:00Z."
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)
