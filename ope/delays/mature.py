"""Only decisions whose whole window has passed count: nothing that could still come is missing."""

from collections.abc import Sequence

import polars as pl

from ope.delays.asked import MATURE
from ope.delays.clock import clock_of, seconds, with_mature
from ope.delays.counted import counted, kept_with, late_note
from ope.delays.resolved import Resolved
from ope.delays.timed import REWARD, Timed
from ope.delays.waiting import Waiting


def mature(logs: Sequence[Timed], waiting: Waiting, window: int) -> Resolved:
    """Keep the decisions of at least the window's age; what came within it is their reward, silence the default.

    Which rows are kept depends on their age alone, and each has its whole reward: what estimates the mean over the
    decisions of that age without delays does so here. Nothing is presumed of the delays.
    """
    clock = with_mature(clock_of(logs, waiting, window=window))
    kept = clock.there & clock.mature
    reward = pl.when(clock.seen).then(pl.col(REWARD)).otherwise(waiting.silence)
    delayed = counted(MATURE, logs, clock, kept=kept, waits=pl.lit(value=False))
    young = f"{delayed.left_out:,} decisions are younger than {seconds(window)} s and left out"
    notes = (f"mature: as of {clock}, {young}", *late_note(delayed, clock, silence=waiting.silence))
    return Resolved((kept_with(logs, kept, reward),), notes, delayed)
