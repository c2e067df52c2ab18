"""The logs with a reward in every row that counts, and what is to be said of how it got there."""

from dataclasses import dataclass

from ope.formats.asides import Asides
from ope.formats.source import Source

NONE = Asides()


@dataclass(frozen=True, slots=True)
class Delayed:
    """How open decisions were counted, for a report. Durations in seconds; None where time played no part.

    `left_out` decisions do not count, because they are too young; `open` ones do, without their reward being known;
    `late` rewards came after the window and count as silence.
    """

    unresolved: str
    now: str | None
    window_s: float | None
    left_out: int
    open: int
    late: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """One version of the log, or two whose rewards are the least and the most that there can be; with its bad rows."""

    versions: tuple[tuple[Source, ...], ...]
    notes: tuple[str, ...] = ()
    delayed: Delayed | None = None
    bad: Asides = NONE
