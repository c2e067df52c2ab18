"""Ages and delays in whole steps of the window, so that a log of any length is a histogram.

A row is looked at as it was at its last whole step, not as it is now: what came since then is not looked at yet. That
loses at most one step of patience and no exactness, because it depends on the decision's age alone.
"""

import polars as pl

from ope.delays.clock import Clock

STEPS = 1_000
"""Steps in a window."""


def age_in_steps(clock: Clock) -> pl.Expr:
    """Return the age in whole steps that have passed, from 0 to STEPS."""
    return (clock.age.clip(0, clock.window) * STEPS) // clock.window


def delay_in_steps(clock: Clock) -> pl.Expr:
    """Return the delay in steps, a step that has begun as a whole one, at most STEPS; null where no reward came."""
    return -((-clock.delay.clip(upper_bound=clock.window) * STEPS) // clock.window)


def seen_by_then(clock: Clock) -> pl.Expr:
    """Say whether the reward had come, in its window, when the row was looked at."""
    return clock.seen & (delay_in_steps(clock) <= age_in_steps(clock))
