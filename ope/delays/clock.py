"""What time it is in a log, and which of its rows are there by then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ope.delays.timed import AT, CAME, REWARD, Timed
from ope.delays.waiting import Waiting
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.files import reading


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment from which a log is looked back at, and the time of its `first` decision.

    Times are in microseconds since 1970-01-01 UTC, the window in microseconds.
    """

    now: int
    window: int
    first: int
    stated: bool

    @property
    def oldest(self) -> int:
        """How old the first decision is."""
        return self.now - self.first

    @property
    def age(self) -> pl.Expr:
        """How old the decision is."""
        return self.now - pl.col(AT)

    @property
    def delay(self) -> pl.Expr:
        """How long the reward took, null where none came."""
        return pl.col(CAME) - pl.col(AT)

    @property
    def there(self) -> pl.Expr:
        """Whether the decision was made by now."""
        return pl.col(AT) <= self.now

    @property
    def mature(self) -> pl.Expr:
        """Whether the decision's whole window has passed, so that all that can count has come."""
        return self.age >= self.window

    @property
    def seen(self) -> pl.Expr:
        """Whether the reward came within the window, and by now."""
        in_time = (self.delay <= self.window) & (pl.col(CAME) <= self.now)
        return (pl.col(REWARD).is_not_null() & in_time).fill_null(value=False)

    @property
    def late(self) -> pl.Expr:
        """Whether a reward came by now, but after the window."""
        return ((self.delay > self.window) & (pl.col(CAME) <= self.now)).fill_null(value=False)

    @property
    def moment(self) -> str:
        """The moment as text, in UTC."""
        return _text(self.now)

    def __str__(self) -> str:
        """Return the moment as text, and where it was taken from."""
        return self.moment if self.stated else f"{self.moment}, the latest time in the log"


def clock_of(logs: Sequence[Timed], waiting: Waiting, *, window: int) -> Clock:
    """Return the moment that is asked for, by default the latest time in the logs.

    Raises InvalidLog where the logs have no row, InvalidRequest where no decision is there by then.
    """
    found = [_ends(log) for log in logs]
    times = [one for one in found if one[0] is not None]
    if not times:
        names = ", ".join(log.source.name for log in logs)
        raise InvalidLog(f"{names}: no rows; an estimate needs at least one decision.")
    now = max(time for _, *rest in times for time in rest if time is not None)
    first = min(first for first, *_ in times if first is not None)
    clock = Clock(now if waiting.now is None else waiting.now, window, first, stated=waiting.now is not None)
    if clock.oldest < 0:
        raise InvalidRequest(f"no decision was made by {clock}; give --now a time at which there were some.")
    return clock


def with_mature(clock: Clock) -> Clock:
    """Return the clock; raises InvalidRequest where no decision is as old as the window."""
    if clock.oldest >= clock.window:
        return clock
    raise InvalidRequest(
        f"the oldest decision is {seconds(clock.oldest)} s old at {clock}: none has the age of the window, "
        f"{seconds(clock.window)} s. Give a shorter --window-s, or --unresolved bounds, or wait."
    )


def _ends(log: Timed) -> tuple[int | None, int | None, int | None]:
    with reading(log.source.name):
        wanted = (pl.col(AT).min().alias("first"), pl.col(AT).max().alias("last"), pl.col(CAME).max().alias("came"))
        return log.frame.select(wanted).collect(engine="streaming").row(0)


def seconds(microseconds: int) -> str:
    """Return a duration in seconds as text."""
    return f"{microseconds / 1e6:,.6g}"


def _text(time: int) -> str:
    try:
        return datetime.fromtimestamp(time / 1e6, tz=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{time / 1e6:.0f} s after 1970"
