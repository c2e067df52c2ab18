"""What a policy sees of a decision: flat context features and the eligible actions in canonical order."""

from collections.abc import Sequence

from store.features.flatten import flatten
from store.records import Action


class Situation:
    """A context and its eligible actions, sorted by id; an action's features are flattened when first asked for.

    Raises `InvalidInput` for features that `flatten` refuses.
    """

    __slots__ = ("_actions", "_flat", "context", "ids")

    def __init__(self, context: dict[str, object], actions: Sequence[Action]) -> None:
        self.context = flatten(context, what="context")
        self._actions = actions
        self._flat: dict[int, dict[str, float]] = {}
        self.ids = [action.id for action in actions]

    def action(self, i: int) -> dict[str, float]:
        """Return the flat features of the i-th eligible action."""
        found = self._flat.get(i)
        if found is None:
            action = self._actions[i]
            found = self._flat[i] = flatten(action.features, what=f"action {action.id!r}")
        return found

    def actions(self) -> list[dict[str, float]]:
        """Return the flat features of all eligible actions, in order."""
        return [self.action(i) for i in range(len(self.ids))]
