"""Frozen draws by their order alone: who wins among some actions depends on no more."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.policies.base import Arms, Floats

Leaders: TypeAlias = NDArray[np.intp]
"""Indices of each draw's highest actions, best first, shape (S, depth)."""


class Ranked:
    """What `Draws` is among all but at most `depth` - 1 of the K actions, to the last bit; shapes (S, depth), (K,)."""

    __slots__ = ("deviation", "leaders", "mean")

    def __init__(self, leaders: Leaders, mean: Floats, deviation: Floats | None = None) -> None:
        self.leaders = leaders
        self.mean: Floats | None = mean
        self.deviation = deviation

    def distribution(self, among: Arms) -> Floats:
        """Return the frequency with which each action is the first of those asked for in a draw's order.

        Raises `LookupError` where the leaders of some draw do not reach that far.
        """
        asked = np.zeros(len(self.mean), np.bool_)  # type: ignore[arg-type]  # given
        asked[among] = True
        found = asked[self.leaders]
        if not found.any(axis=1).all():
            raise LookupError(f"a draw's {self.leaders.shape[1]} leaders are all among the actions that are taken")
        winners = self.leaders[np.arange(len(found)), found.argmax(axis=1)]
        return np.asarray(np.bincount(winners, minlength=len(asked))[among] / len(found))


def leaders(scores: Floats, depth: int) -> Leaders:
    """Return the order of the `depth` highest of each row of (S, K); of equal scores the first leads, as in argmax."""
    scores = np.ascontiguousarray(scores, dtype=np.float64)  # the one layout and type that `_leaders` is compiled for
    return np.argsort(-scores, axis=1, kind="stable") if depth >= scores.shape[1] else _leaders(scores, depth)


@compiled
def _leaders(scores: Floats, depth: int) -> Leaders:
    # Sorting whole rows would cost more than the draws themselves where a few of thousands are needed.
    found = np.empty((len(scores), depth), np.intp)
    for row in range(len(scores)):
        for k in range(scores.shape[1]):
            place = min(k, depth)
            while place > 0 and scores[row, k] > scores[row, found[row, place - 1]]:
                if place < depth:
                    found[row, place] = found[row, place - 1]
                place -= 1
            if place < depth:
                found[row, place] = k
    return found
