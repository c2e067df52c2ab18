"""The outcomes of a log's rows, held back until they were known: a state folds only what came before each decision."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec
import polars as pl

from bandit.scoring.row import Row

Moment: TypeAlias = tuple[int, int, int]
"""When something was appended: position or time, then 0 for an entry of the log, 1 for what follows one, the row."""


class Clock(NamedTuple):
    """How a log tells what was known when: `now` of a decision, and `when` its outcome came; None where it did not."""

    name: str
    says: str
    now: Callable[[Row, int], int]
    when: Callable[[Row, int], int | None]


POSITIONS = Clock(
    "positions",
    "what the state that served had folded, by positions of the outcome log",
    lambda row, _: _given(row.position),
    lambda row, _: row.outcome_position,
)
TIMES = Clock(
    "times",
    "outcomes appended before each decision, by outcome_at and at",
    # Strictly before: what came in the same microsecond may have come after.
    lambda row, _: _given(row.at) - 1,
    lambda row, _: row.outcome_at,
)
AT_ONCE = Clock(
    "at once",
    "the rows above: the log does not say when rewards came, so each is taken as known at the next row",
    lambda _, number: number - 1,
    lambda row, number: None if row.reward is None else number,
)


class Awaited(msgspec.Struct, frozen=True):
    """A row whose decision is to be learned: provisionally, as if nothing came, or with its outcome."""

    number: int
    row: Row
    provisional: bool


class Held:
    """What is still to be learned, in the order in which it was appended; `provisional` learns decisions at once."""

    def __init__(self, *, provisional: bool) -> None:
        self._provisional = provisional
        self._heap: list[tuple[Moment, Awaited]] = []
        self.clock = AT_ONCE

    def known(self, row: Row, number: int) -> Iterator[Awaited]:
        """Yield what was appended before a row's decision and is not learned yet, in order."""
        now = self.clock.now(row, number)
        while self._heap and self._heap[0][0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    def hold(self, row: Row, number: int) -> None:
        """Take up a decision that is to be learned."""
        when = self.clock.when(row, number)
        if row.outcome == "provisional":
            when = None  # its window has not passed: nothing is known yet
        if self._provisional:
            self._push(self._first(row, number, when), Awaited(number, row, provisional=True))
        if when is not None and row.reward is not None:
            self._push((when, 0, number), Awaited(number, row, provisional=False))

    def _first(self, row: Row, number: int, when: int | None) -> Moment:
        """Return when a decision is learned as if nothing came: where the log has that entry, or right behind it."""
        if self.clock is POSITIONS and row.first_outcome is not None and (when is None or row.first_outcome < when):
            return row.first_outcome, 0, number
        return self.clock.now(row, number), 1, number

    def _push(self, moment: Moment, awaited: Awaited) -> None:
        heapq.heappush(self._heap, (moment, awaited))


def clock_of(logs: Mapping[str, pl.LazyFrame]) -> Clock:
    """Return how the logs tell what was known when: by positions, by times, or not at all."""
    columns = frozenset[str].intersection(*(frozenset(log.collect_schema().names()) for log in logs.values()))
    if {"model_version", "outcome_position", "first_outcome"} <= columns and _whole(logs, "model_version"):
        return POSITIONS
    if {"at", "outcome_at"} <= columns and _whole(logs, "at"):
        return TIMES
    return AT_ONCE


def _whole(logs: Mapping[str, pl.LazyFrame], column: str) -> bool:
    said = pl.col(column)
    kept = said.is_not_null() if column == "at" else said.str.contains(r"^.+@\d+$")
    return all(
        log.select(kept.fill_null(value=False).all()).collect(engine="streaming").item() for log in logs.values()
    )


def _given(value: int | None) -> int:
    assert value is not None  # noqa: S101  # `clock_of` looked at every row
    return value
