"""What a policy sees of a decision: flat context features and the eligible actions in canonical order."""

from collections.abc import Sequence

from store.features.flatten import flatten
from store.records import Action


class Situation:
    """A context and its eligible actions, sorted by id; actions are flattened when their features are first asked for.

    Raises `InvalidInput` for features that `flatten` refuses.
    """

    __slots__ = ("_actions", "_flat", "context", "ids")

    def __init__(self, context: dict[str, object], actions: Sequence[Action]) -> None:
        self.context = flatten(context, what="context")
        self.ids = [action.id for action in actions]
        self._actions = actions
        self._flat: list[dict[str, float]] | None = None

    def action(self, i: int) -> dict[str, float]:
        """Return the flat features of the i-th eligible action."""
        return _flatten(self._actions[i]) if self._flat is None else self._flat[i]

    def actions(self) -> list[dict[str, float]]:
        """Return the flat features of all eligible actions, in order."""
        if self._flat is None:
            self._flat = [_flatten(action) for action in self._actions]
        return self._flat


def _flatten(action: Action) -> dict[str, float]:
    return flatten(action.features, what="action " + repr(action.id))
