"""Open decisions earn the least, and in a second version of the log the most, that there can be."""

from collections.abc import Sequence
from dataclasses import replace

import narwhals as nw
import polars as pl

from ope.delays.asked import BOUNDS
from ope.delays.clock import clock_of
from ope.delays.counted import counted, kept_with, late_note
from ope.delays.resolved import Delayed, Resolved
from ope.delays.timed import REWARD, Timed
from ope.delays.waiting import Range, Waiting
from ope.engine import only_row
from ope.errors import InvalidLog
from ope.formats.files import reading
from ope.formats.source import Source
from ope.frames import number, require


def bounds(logs: Sequence[Timed], waiting: Waiting, window: int) -> Resolved:
    """Return both versions, where decisions are open while their window is and nothing has come."""
    clock, within = clock_of(logs, waiting, window=window), _range(waiting)
    waits = ~clock.seen & ~clock.mature
    settled = pl.when(clock.seen).then(pl.col(REWARD)).otherwise(waiting.silence)
    delayed = counted(BOUNDS, logs, clock, kept=clock.there, waits=waits)
    versions = tuple(kept_with(logs, clock.there, pl.when(waits).then(end).otherwise(settled)) for end in within)
    notes = (_note(delayed, within, f"as of {clock}, "), *late_note(delayed, clock, silence=waiting.silence))
    return Resolved(versions, notes, delayed)


def timeless_bounds(sources: Sequence[Source], waiting: Waiting, *, reward: str) -> Resolved:
    """Return both versions, where each row without a reward is open, whatever its age; in any engine."""
    for source in sources:
        require(source, reward, option="--reward")
    within = _range(waiting)
    delayed = Delayed(BOUNDS, None, None, left_out=0, open=sum(_open(one, reward, within) for one in sources), late=0)
    versions = tuple(tuple(_filled(source, reward, end) for source in sources) for end in within)
    return Resolved(versions, (_note(delayed, within, ""),), delayed)


def _range(waiting: Waiting) -> Range:
    assert waiting.within is not None  # noqa: S101 - Waiting.of refuses bounds without a range
    return waiting.within


def _note(delayed: Delayed, within: Range, when: str) -> str:
    return f"bounds: {when}{delayed.open:,} decisions are open and earn from {within[0]:g} to {within[1]:g}"


def _open(source: Source, reward: str, within: Range) -> int:
    """Return how many rewards are missing; raises InvalidLog where one that is there is outside the range."""
    said = number(source, reward)
    wanted = {
        "open": said.is_null().sum(),
        "below": (said < within[0]).sum(),
        "above": ((said > within[1]) & ~said.is_nan()).sum(),
    }
    with reading(source.name):
        found = only_row(source.frame.select(**wanted))
    if outside := (found["below"] or 0) + (found["above"] or 0):
        raise InvalidLog(
            f"{source.name}: {outside:,} rewards in {reward!r} are outside --reward-range {within[0]:g},{within[1]:g}. "
            "Declare all that can be, or mend the rows."
        )
    return int(found["open"] or 0)


def _filled(source: Source, reward: str, value: float) -> Source:
    filled = nw.when(nw.col(reward).is_null()).then(nw.lit(value)).otherwise(number(source, reward))
    return replace(source, frame=source.frame.with_columns(filled.alias(reward)))
