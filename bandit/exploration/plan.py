"""A slot's distribution on its way to be sampled, and what maps one to the next."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from store.records import Odds

Floats: TypeAlias = NDArray[np.float64]
Marks: TypeAlias = NDArray[np.bool_]
Arms: TypeAlias = NDArray[np.intp]


class Plan(msgspec.Struct, frozen=True):
    """A slot's distribution on its way to be sampled.

    `q`, shape (K,), sums to 1, `greedy` marks G, what is not exploration; `baseline` is the index of the caller's
    first choice. `reason` names what forced the slot, `trace` all that changed `q`. `left`, shape (K,), says which of
    the decision's eligible actions these are; None: all of them.
    """

    q: Floats
    greedy: Marks
    baseline: int
    reason: str | None = None
    trace: tuple[str, ...] = ()
    left: Arms | None = None

    @property
    def exploration(self) -> float:
        """The probability off the greedy actions."""
        return float(off(self.q, self.greedy))

    @property
    def odds(self) -> Odds:
        """What the audit needs of the draw when the distribution itself is not logged."""
        supported, least = _support(self.q)
        return Odds(supported, least, self.exploration)

    def own(self, values: Floats) -> Floats:
        """Return those of the decision's values, one per eligible action, that belong to this slot's actions."""
        return values if self.left is None else values[self.left]

    def named(self, trace: str) -> "Plan":
        """Return the plan with one more entry in its trace."""
        return Plan(self.q, self.greedy, self.baseline, self.reason, (*self.trace, trace), self.left)


Guard: TypeAlias = Callable[[Plan], Plan]


@compiled
def off(q: Floats, greedy: Marks) -> float:
    """Return the probability off the greedy actions; both of shape (K,)."""
    total = 0.0
    for k in range(len(q)):
        if not greedy[k]:
            total += q[k]
    return total


@compiled
def _support(q: Floats) -> tuple[int, float]:
    """Return how many probabilities are above 0, and the smallest of these."""
    supported, least = 0, 1.0
    for k in range(len(q)):
        if q[k] > 0:
            supported, least = supported + 1, min(least, q[k])
    return supported, least
