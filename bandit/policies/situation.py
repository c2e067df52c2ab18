"""What a policy sees of a decision: flat context features and the eligible actions in canonical order."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from store.features.flatten import MAX_FEATURES, NUMBERS, flatten
from store.records import LARGEST, Action

Table = tuple[tuple[str, ...], NDArray[np.float64]]
"""Feature names (F,) and values (K, F)."""


class Situation:
    """A context and its eligible actions, sorted by id; actions are flattened when their features are first asked for.

    Raises `InvalidInput` for features that `flatten` refuses.
    """

    __slots__ = ("_actions", "_flat", "context", "ids", "table")

    def __init__(self, context: dict[str, object], actions: Sequence[Action]) -> None:
        self.context = flatten(context, what="context")
        self.ids = [action.id for action in actions]
        self.table: Table | None = None
        self._actions = actions
        self._flat: list[dict[str, float]] | None = None

    def action(self, i: int) -> dict[str, float]:
        """Return the flat features of the i-th eligible action."""
        return _flatten(self._actions[i]) if self._flat is None else self._flat[i]

    def actions(self) -> list[dict[str, float]]:
        """Return the flat features of all eligible actions, in order.

        Where all have the same flat numbers, as most do, `table` holds them from then on, read at once.
        """
        if self._flat is None:
            features = [action.features for action in self._actions]
            self.table = _read_table(features)
            self._flat = features if self.table else [_flatten(action) for action in self._actions]
        return self._flat


def _read_table(features: Sequence[dict[str, float]]) -> Table | None:
    shapes = list(map(tuple, features))
    names = shapes[0]
    if shapes.count(names) < len(shapes):
        return None
    values = list(itertools.chain.from_iterable(each.values() for each in features))
    if len(names) > MAX_FEATURES or not NUMBERS.issuperset(map(type, values)):
        return None
    try:
        array = np.fromiter(values, np.float64, len(values)).reshape(len(features), len(names))
    except OverflowError:  # an integer beyond float64
        return None
    return (names, array) if _in_range(array) else None


@compiled
def _in_range(values: NDArray[np.float64]) -> bool:
    # A NaN fails the comparison too.
    return bool((np.abs(values) <= LARGEST).all())


def _flatten(action: Action) -> dict[str, float]:
    return flatten(action.features, what="action " + repr(action.id))
