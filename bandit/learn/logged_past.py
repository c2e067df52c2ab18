"""The past as a decision logged it, for making that decision, or another policy's in its place, again."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from bandit.exploration.plan import Marks
from store.records import Decision


class LoggedPast:
    """What a decision's guards knew of the past, as the decision logged it; stands in for the loop's history.

    `state` are the numbers that the guards acted on, `new` the ids under a ceiling, and `withheld` those that a
    frequency cap kept back.
    """

    __slots__ = ("_new", "_state", "_withheld")

    def __init__(self, state: Mapping[str, float], new: Collection[str] = (), withheld: Collection[str] = ()) -> None:
        self._state = state
        self._new = new
        self._withheld = withheld

    def new(self, actions: Sequence[str]) -> Marks:
        """Mark the actions that were new."""
        return np.array([action in self._new for action in actions])

    def allowance(self, at: int, entities: Mapping[str, str]) -> float:  # noqa: ARG002  # it was known by then
        """Return what the budget left."""
        return self._state.get("allowance", 1.0)

    @property
    def gate(self) -> "LoggedPast | None":
        """The conservative gate as it stood, or None where there was none."""
        return self if "gate_since" in self._state else None

    def price(self, mean: float | None, deviation: float | None) -> float:  # noqa: ARG002  # as above
        """Return what the decision owed."""
        return self._state["gate_price"]

    def allows(self, price: float) -> bool:  # noqa: ARG002  # as above
        """Say whether the gate was open."""
        return self._state["gate_open"] == 1

    def state(self) -> dict[str, float]:
        """Return what was logged of the gate."""
        return {}

    def spent(self, entities: Mapping[str, str], actions: Iterable[str], now: int) -> dict[str, str]:  # noqa: ARG002
        """Return the actions that a frequency cap kept back; by which entity is in the trace."""
        return {action: "as logged" for action in actions if action in self._withheld}


def past_of(decision: Decision) -> LoggedPast:
    """Return what a decision's guards knew."""
    new = set() if decision.law is None else {decision.actions[i] for i in decision.law.new}
    return LoggedPast(decision.guard_state, new, decision.withheld)
