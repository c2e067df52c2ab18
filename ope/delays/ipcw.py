"""A reward counts the more, the seldomer one has come by its decision's age."""

from collections.abc import Sequence

import polars as pl

from ope.delays.asked import IPCW
from ope.delays.clock import Clock, clock_of, seconds, with_mature
from ope.delays.counted import counted, kept_with, late_note
from ope.delays.delay_model import LEAST_SEEN, DelayModel, delay_model
from ope.delays.grid import STEPS, age_in_steps, seen_by_then
from ope.delays.resolved import Delayed, Resolved
from ope.delays.timed import REWARD, Timed
from ope.delays.waiting import Waiting


def ipcw(logs: Sequence[Timed], waiting: Waiting, window: int) -> Resolved:
    """Make of a reward r that has come silence + (r − silence)/F(C), C the decision's age, and of none silence.

    F(C) is the probability that a reward that comes in the window has come by age C. Where the delay depends neither
    on r nor on C, the mean over the delay is r (Horvitz and Thompson 1952; for what is censored Robins and Rotnitzky
    1992; with the delay's distribution at the age, Vernade, Cappé and Perchet 2017, whose τ it is). Such a reward may
    be above or below every one that there can be.
    """
    clock = with_mature(clock_of(logs, waiting, window=window))
    model = delay_model(logs, clock, by=waiting.delay_by)
    come, kept = seen_by_then(clock), clock.there & (age_in_steps(clock) >= model.youngest)
    weighed = waiting.silence + (pl.col(REWARD) - waiting.silence) / model.of(clock)
    reward = pl.when(come).then(weighed).otherwise(waiting.silence)
    delayed = counted(IPCW, logs, clock, kept=kept, waits=~come & ~clock.mature)
    notes = (*_notes(model, delayed, clock), *late_note(delayed, clock, silence=waiting.silence))
    return Resolved((kept_with(logs, kept, reward),), notes, delayed)


def _notes(model: DelayModel, delayed: Delayed, clock: Clock) -> list[str]:
    age, seen = clock.window * model.youngest // STEPS, float(model.seen[:, model.youngest].min())
    which = f"delays are those of {model.rewards:,} rewards, and a reward counts {1 / seen:.3g} times at most"
    notes = [f"ipcw: as of {clock}, {delayed.open:,} decisions are open; {which}"]
    if delayed.left_out:
        notes.append(
            f"ipcw: {delayed.left_out:,} decisions younger than {seconds(age)} s are left out: fewer than "
            f"{LEAST_SEEN:.0%} of rewards have come by then"
        )
    if model.by is not None:
        notes.append(f"ipcw: {len(model.values)} values of {model.by} have delays of their own, others share theirs")
    return [*notes, "ipcw: standard errors and intervals take the distribution of delays as known"]
