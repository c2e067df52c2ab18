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

    `requested` are the actions in the caller's order, which is the baseline's; without it, the order is by id.
    Raises `InvalidInput` for features that `flatten` refuses.
    """

    __slots__ = ("_actions", "_flat", "_requested", "_table", "context", "ids")

    def __init__(
        self, context: dict[str, object], actions: Sequence[Action], requested: Sequence[Action] | None = None
    ) -> None:
        self.context = flatten(context, what="context")
        self.ids = [action.id for action in actions]
        self._actions = actions
        self._requested = actions if requested is None else requested
        self._table: Table | None = None
        self._flat: list[dict[str, float]] | None = None

    @classmethod
    def of(
        cls, ids: list[str], *, table: Table | None = None, flat: list[dict[str, float]] | None = None
    ) -> "Situation":
        """Make one without a context, from features that are flat already: a table or a dictionary per action."""
        made = cls({}, [])
        made.ids, made._table, made._flat = ids, table, flat
        return made

    def order(self) -> NDArray[np.intp]:
        """Return each eligible action's place in the request, shape (K,)."""
        place = {action.id: i for i, action in enumerate(self._requested)}
        return np.array([place[name] for name in self.ids])

    def only(self, i: int) -> "Situation":
        """Return the same with the i-th eligible action alone."""
        made = Situation.of([self.ids[i]], flat=[self.action(i)])
        made.context = self.context
        return made

    def table(self) -> Table | None:
        """Return the features of all eligible actions as one array; None where their names or kinds differ."""
        if self._table is None and self._flat is None:
            self._table = _read_table([action.features for action in self._actions])
            if self._table is None:
                self._flat = [_flatten(action) for action in self._actions]
        return self._table

    def action(self, i: int) -> dict[str, float]:
        """Return the flat features of the i-th eligible action."""
        if self._table:
            names, values = self._table
            return dict(zip(names, values[i].tolist(), strict=True))
        return _flatten(self._actions[i]) if self._flat is None else self._flat[i]

    def actions(self) -> list[dict[str, float]]:
        """Return the flat features of all eligible actions, in order."""
        if self.table():
            return [self.action(i) for i in range(len(self.ids))]
        return self._flat or []

    def bare(self) -> bool:
        """Say whether no action has any feature."""
        table = self.table()
        return not table[0] if table else not any(self._flat or ())


def _read_table(features: Sequence[dict[str, float]]) -> Table | None:
    shapes = list(map(tuple, features))
    names = shapes[0]
    if shapes.count(names) < len(shapes) or "" in names:
        return None
    values = list(itertools.chain.from_iterable(map(dict.values, features)))
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
