"""What every way to count open decisions does alike: count them, and hand on those that are kept."""

from collections.abc import Sequence

import polars as pl

from ope.delays.clock import Clock, seconds
from ope.delays.resolved import Delayed
from ope.delays.timed import Timed
from ope.formats.files import reading
from ope.formats.source import Source


def kept_with(logs: Sequence[Timed], kept: pl.Expr, reward: pl.Expr) -> tuple[Source, ...]:
    """Return the logs' rows that are kept, with this as their reward."""
    return tuple(log.keeping(kept).rewarded(reward) for log in logs)


def counted(way: str, logs: Sequence[Timed], clock: Clock, *, kept: pl.Expr, waits: pl.Expr) -> Delayed:
    """Return how many decisions are left out, how many of the others wait, and how many were rewarded too late."""
    wanted = {"left": ~kept, "open": kept & waits, "late": kept & clock.late}
    found = [_counts(log, wanted) for log in logs]
    left, unresolved, late = (sum(one[name] for one in found) for name in wanted)
    return Delayed(way, clock.moment, clock.window / 1e6, left_out=left, open=unresolved, late=late)


def late_note(delayed: Delayed, clock: Clock, *, silence: float) -> list[str]:
    """Say how many rewards came too late, if any did."""
    if not delayed.late:
        return []
    came = f"{delayed.unresolved}: {delayed.late:,} rewards came later than {seconds(clock.window)} s"
    return [f"{came} and count as silence, which is worth {silence:g}"]


def _counts(log: Timed, wanted: dict[str, pl.Expr]) -> dict[str, int]:
    with reading(log.source.name):
        found = log.frame.select(**{name: one.sum() for name, one in wanted.items()}).collect(engine="streaming")
    return found.row(0, named=True)
