"""Anytime-valid bounds of a log's value: two mirrored confidence sequences over rewards of a declared range."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ope.errors import InvalidLog
from ope.frames import Rows
from ope.intervals.ask import Range
from ope.intervals.mixture import Floats, Mixture
from ope.ordered import Part, in_order, weighed_rewards

_FRESH = Mixture()


@dataclass(frozen=True, slots=True)
class Bounds:
    """A lower sequence of the rewards' distance from the range's low end, and one of that from its high end."""

    within: Range
    above: Mixture = _FRESH
    below: Mixture = _FRESH

    def fold(self, weights: Floats, rewards: Floats) -> "Bounds":
        """Return the state after more rows, in decision order; weights and rewards have the same shape (m,)."""
        share = (rewards - self.within.low) / (self.within.high - self.within.low)
        return Bounds(self.within, self.above.fold(weights * share), self.below.fold(weights * (1 - share)))

    def at(self, level: float) -> tuple[float, float]:
        """Return bounds that hold at every look with probability `level`, each side with half of what is left."""
        alpha, width = (1 - level) / 2, self.within.high - self.within.low
        return self.within.low + width * self.above.lower(alpha), self.within.high - width * self.below.lower(alpha)


def sequence(logs: Sequence[Rows], within: Range) -> Bounds:
    """Return the bounds' state after the sources, one after the other; raises InvalidLog for a reward out of range."""
    state, parts = Bounds(within), in_order(logs, weighed_rewards(), what="eb_mixture")
    for part in parts:
        rewards = part.column("reward")
        outside = _outside(within, rewards)
        if outside.any():
            others = sum(int(_outside(within, one.column("reward")).sum()) for one in parts if one.rows is part.rows)
            raise _out_of_range(part, within, outside, count=int(outside.sum()) + others)
        state = state.fold(part.column("w"), rewards)
    return state


def _out_of_range(part: Part, within: Range, outside: npt.NDArray[np.bool_], *, count: int) -> InvalidLog:
    first = int(np.argmax(outside))
    return InvalidLog(
        f"{part.rows.source.name}: row {part.start + first + 1:,}: the reward is {part.column('reward')[first]:g}; "
        f"--reward-range says that it is between {within.low:g} and {within.high:g}. Declare all that can be, or mend "
        "the row." + (f" ({count:,} rows are outside.)" if count > 1 else "")
    )


def _outside(within: Range, rewards: Floats) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (rewards < within.low) | (rewards > within.high)
    return found
