"""How likely a reward has come by an age, for each value of what the delay depends on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ope.delays.clock import Clock
from ope.delays.grid import STEPS, age_in_steps, delay_in_steps, seen_by_then
from ope.delays.product_limit import Counts, Floats, delay_distribution
from ope.delays.timed import Timed
from ope.errors import InvalidRequest
from ope.formats.files import reading
from ope.frames import require

LEAST_REWARDS = 30
"""From fewer rewards no distribution of delays is estimated."""

LEAST_SEEN = 0.1
"""Decisions so young that fewer of their rewards have come are left out: a reward counts tenfold at most."""

_GROUP, _STEP, _COUNT, _REST = "group", "step", "count", 0


@dataclass(frozen=True, slots=True, eq=False)
class DelayModel:
    """The delays' distributions: row 0 of `seen` of the values without one of their own, row k + 1 of `values[k]`.

    `seen[g, u]`, shape (groups, STEPS + 1), is the probability that a reward that comes in the window has come by step
    u. `rewards` is how many were counted; `by` the column of the values, None for none.
    """

    by: str | None
    values: tuple[str, ...]
    seen: Floats
    rewards: int

    @property
    def youngest(self) -> int:
        """The age in steps from which on rows count: where every group has seen LEAST_SEEN of its rewards.

        One age for all groups: leaving out young rows of one action alone would change how often it was played.
        """
        return int(np.argmax((self.seen >= LEAST_SEEN).all(axis=0)))

    def of(self, clock: Clock) -> pl.Expr:
        """Return the probability that the row's reward has come, given that one comes in its window."""
        step, flat = age_in_steps(clock), self.seen.ravel()
        place = step if self.by is None else step + (STEPS + 1) * _group(self.by, self.values)

        def at(places: pl.Series) -> pl.Series:
            # Inside when/then polars may pass null for the rows that it will not take.
            return pl.Series(flat[places.fill_null(0).to_numpy()])

        # replace_strict would do the same in three times the time and memory.
        return place.map_batches(at, return_dtype=pl.Float64, is_elementwise=True)


def delay_model(logs: Sequence[Timed], clock: Clock, *, by: str | None) -> DelayModel:
    """Return the delays' distributions over all logs, by the values of a column that have enough rewards.

    Raises InvalidRequest where there are too few rewards, or no such column.
    """
    for log in logs if by is not None else ():
        require(log.source, by or "", option="--delay-by")
    values = () if by is None else _frequent(logs, clock, by)
    group = pl.lit(_REST) if by is None else _group(by, values)
    came = _histogram(logs, clock, group, delay_in_steps(clock), len(values) + 1)
    aged = _histogram(logs, clock, group, age_in_steps(clock), len(values) + 1)
    total = int(came.sum())
    if total < LEAST_REWARDS:
        raise InvalidRequest(
            f"{total} rewards came within the window, and delays are estimated from {LEAST_REWARDS} at least. "
            "Give --unresolved mature or bounds."
        )
    if came[_REST].sum() < LEAST_REWARDS:
        came[_REST], aged[_REST] = came.sum(axis=0), aged.sum(axis=0)
    seen = np.stack([delay_distribution(d, a) for d, a in zip(came, aged, strict=True)])
    return DelayModel(by, values, seen, total)


def _group(by: str, values: Sequence[str]) -> pl.Expr:
    """Return 0 for a value that is none of these, else its place among them from 1."""
    if not values:
        return pl.lit(_REST)
    place = pl.col(by).cast(pl.String).cast(pl.Enum(values), strict=False).to_physical()
    return (place.cast(pl.Int64) + 1).fill_null(_REST)


def _frequent(logs: Sequence[Timed], clock: Clock, by: str) -> tuple[str, ...]:
    counted = pl.concat([_counted(log, clock, [pl.col(by).cast(pl.String).alias(_GROUP)]) for log in logs])
    totals = counted.drop_nulls().group_by(_GROUP).agg(pl.col(_COUNT).sum()).filter(pl.col(_COUNT) >= LEAST_REWARDS)
    return tuple(sorted(totals[_GROUP]))


def _histogram(logs: Sequence[Timed], clock: Clock, group: pl.Expr, step: pl.Expr, groups: int) -> Counts:
    found = np.zeros((groups, STEPS + 1), dtype=np.int64)
    for log in logs:
        counted = _counted(log, clock, [group.cast(pl.Int64).alias(_GROUP), step.cast(pl.Int64).alias(_STEP)])
        found[counted[_GROUP].to_numpy(), counted[_STEP].to_numpy()] += counted[_COUNT].to_numpy()
    return found


def _counted(log: Timed, clock: Clock, keys: Sequence[pl.Expr]) -> pl.DataFrame:
    with reading(log.source.name):
        rows = log.frame.filter(clock.there & seen_by_then(clock)).select(keys)
        return rows.group_by(pl.all()).agg(pl.len().cast(pl.Int64).alias(_COUNT)).collect(engine="streaming")
