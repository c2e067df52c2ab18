"""Ceilings for new actions: until enough of an action's outcomes are learned, it is served only so often.

A new action whose first reward is lucky looks best at once. So while it is under its ceiling it is exploration: G are
then the best of the other actions, and the cap bounds it too.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bandit.compiled import compiled
from bandit.exploration.plan import Floats, Guard, Marks, Plan
from store.errors import InvalidInput
from store.records import Example


class CeilingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action with fewer than `outcomes` learned outcomes has at most `probability`, unless all are new."""

    probability: float
    outcomes: int

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise InvalidInput(
                f"exploration.ceiling.probability is {self.probability!r}; it must be above 0 and at most 1: "
                "exclude an action that must not be served"
            )
        if not 1 <= self.outcomes <= 1_000_000_000:
            raise InvalidInput(
                f"exploration.ceiling.outcomes is {self.outcomes!r}; it must be 1 to 1e9: leave the ceiling out instead"
            )


class LearnedCounts:
    """How many outcomes of each action the line has learned, counted up to `enough`.

    `position` is that of the newest outcome that is counted. A correction is not another outcome.
    """

    __slots__ = ("_counts", "enough", "established", "position")

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.position = 0
        self.established = 0
        self._counts: dict[str, int] = {}

    def copy(self) -> "LearnedCounts":
        """Return the counts as they are now."""
        new = LearnedCounts(self.enough)
        new.position, new.established, new._counts = self.position, self.established, self._counts.copy()
        return new

    def pass_over(self, position: int) -> None:
        """Go on behind that position at the earliest: what is before was deleted, and is not counted."""
        self.position = max(self.position, position)

    def learn(self, example: Example) -> None:
        """Count a settled outcome for the actions of its ranking; one that is counted already changes nothing."""
        outcome, ranking = example.outcome, example.decision.ranking
        if outcome.position <= self.position:
            return
        self.position = outcome.position
        if outcome.kind in {"rewarded", "expired"}:
            for slot in ranking:
                count = min(self._counts.get(slot.action, 0) + 1, self.enough + 1)
                self._counts[slot.action] = count
                self.established += count == self.enough

    def new(self, actions: Iterable[str]) -> Marks:
        """Mark the actions of which fewer than `enough` outcomes are learned."""
        return np.array([self._counts.get(action, 0) < self.enough for action in actions])


class Under(NamedTuple):
    """Which of the decision's eligible actions are new, shape (K,), and what each of them may have at most."""

    new: Marks
    probability: float

    def of(self, plan: Plan) -> Marks:
        """Return the marks of this slot's actions."""
        return self.new if plan.left is None else self.new[plan.left]


def ceiling(under: Under, mean: Floats | None) -> Guard:
    """Return the projection on q_k <= `under.probability` for new actions; the best of the others become greedy.

    Where all are new, the ceilings are waived. `mean`, shape (K,) over the decision's eligible actions, says which are
    best; without one the probabilities do.
    """

    def hold(plan: Plan) -> Plan:
        new = under.of(plan)
        if not new.any():
            return plan
        if new.all():
            return plan.named("exploration.ceiling waived: all actions are new")
        scores = np.where(new, -np.inf, plan.q if mean is None else plan.own(mean))
        greedy = scores == scores.max()
        q, lowered = _lower(plan.q, new, greedy, under.probability)
        trace = plan.trace
        if lowered or (greedy != plan.greedy).any():
            trace = (*trace, "exploration.ceiling")
        return Plan(q, greedy, plan.baseline, plan.reason, trace, plan.left)

    return hold


def reclaim(under: Under) -> Callable[[Plan], Plan]:
    """Return what takes from new actions what a later guard gave them above the ceiling, for the greedy actions."""

    def hold(plan: Plan) -> Plan:
        new = under.of(plan)
        if new.all() or not (new & (plan.q > under.probability)).any():
            return plan
        q = np.where(new, np.minimum(plan.q, under.probability), plan.q)
        q[plan.greedy] += (1.0 - q.sum()) / plan.greedy.sum()
        return Plan(q, plan.greedy, plan.baseline, plan.reason, plan.trace, plan.left)

    return hold


@compiled
def _lower(p: Floats, new: Marks, greedy: Marks, most: float) -> Any:  # noqa: ANN401  # numba's tuple
    """Return min(most, m p_k) for new actions and m p_k for the others, and whether that differs from p.

    The information projection on the ceilings. Where p has nothing on what is not held, the greedy actions share it.
    """
    held = np.zeros(len(p), np.bool_)
    q = p.copy()
    before, count = -1, 0
    while before < count:
        before, count, free = count, 0, 0.0
        for k in range(len(p)):
            held[k] = held[k] or (new[k] and q[k] > most)
            count += held[k]
            free += 0.0 if held[k] else p[k]
        rest = max(0.0, 1.0 - count * most)
        for k in range(len(p)):
            if held[k]:
                q[k] = most
            elif count:
                q[k] = p[k] / free * rest if free > 0 else (rest / greedy.sum() if greedy[k] else 0.0)
    return q, count > 0
