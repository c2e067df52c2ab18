"""What the guards must know of a loop's past: what was spent, what was earned, what is known of each action.

It changes when a decision is made and when an outcome is learned, never by the draw of the decision at hand.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bandit.exploration.budget import Budget, Spent
from bandit.exploration.ceiling import LearnedCounts
from bandit.exploration.config import ExplorationConfig
from bandit.exploration.conservative import Gate
from bandit.exploration.plan import Marks
from store.records import Decision, Example


class GateView(Protocol):
    """The conservative gate as a decision may read it."""

    def price(self, mean: float | None, deviation: float | None) -> float:
        """Return what a decision owes whose baseline the model believes to have this mean and deviation."""

    def allows(self, price: float) -> bool:
        """Say whether the gate is open for that price."""

    def state(self) -> dict[str, float]:
        """Return what a decision logs of the gate."""


class Past(Protocol):
    """The past as a decision may read it; nothing of it changes while one is made."""

    def new(self, actions: Sequence[str]) -> Marks:
        """Mark the actions that are new, shape (K,)."""

    def allowance(self, at: int, entities: Mapping[str, str]) -> float:
        """Return what the budget leaves for a decision at `at`; 1 where there is no budget."""

    @property
    def gate(self) -> GateView | None:
        """The conservative gate, to be read only; None where there is none."""


class History:
    """The past of one loop: its budget, its gate and its counts of learned outcomes, each None where it is off."""

    __slots__ = ("_losses", "budget", "gate", "learned")

    def __init__(
        self, budget: Budget | None = None, gate: Gate | None = None, learned: LearnedCounts | None = None
    ) -> None:
        self.budget = budget
        self.gate: Gate | None = gate
        self.learned = learned
        self._losses = Spent()

    def new(self, actions: Sequence[str]) -> Marks:
        """Mark the actions that are new."""
        return (self.learned or LearnedCounts(1)).new(actions)

    def allowance(self, at: int, entities: Mapping[str, str]) -> float:
        """Return what the budget leaves."""
        return 1.0 if self.budget is None else self.budget.allowance(at, self._entity(entities))

    def spend(self, decision: Decision, entities: Mapping[str, str]) -> None:
        """Take a decision into account as soon as it is made; it need not be on disk."""
        self.spend_budget(decision, entities)
        if self.gate is not None:
            self.gate.spend(decision)
        if (loss := decision.guard_state.get("expected_loss")) is not None:
            self._losses = Spent(self._losses.decisions + 1, self._losses.exploration + loss)

    def spend_budget(self, decision: Decision, entities: Mapping[str, str]) -> None:
        """Take a decision into account for the budget alone."""
        if self.budget is not None:
            self.budget.add(decision.at, self._entity(entities), decision.exploration)

    def withdraw(self, decision: Decision, entities: Mapping[str, str]) -> None:
        """Take back a decision that was not stored: its id was there before, or the write failed."""
        if self.budget is not None:
            self.budget.withdraw(decision.at, self._entity(entities), decision.exploration)
        if self.gate is not None:
            self.gate.spend(decision, sign=-1)

    def learn(self, examples: Sequence[Example]) -> None:
        """Take outcomes into account, in log order; what is known already changes nothing."""
        for part in (self.gate, self.learned):
            if part is not None:
                for example in examples:
                    part.learn(example)

    def pass_over(self, position: int) -> None:
        """Go on behind that position of the outcome log at the earliest: what is before was deleted."""
        for part in (self.gate, self.learned):
            if part is not None:
                part.pass_over(position)

    def ahead(self) -> "History":
        """Return the history of what is to serve next: its counts go on by themselves, the rest is shared with this."""
        return History(self.budget, self.gate, None if self.learned is None else self.learned.copy())

    @property
    def position(self) -> int | None:
        """The newest outcome that all parts have taken into account; None where none needs any."""
        parts = [self.gate.ledger.through if self.gate else None, self.learned.position if self.learned else None]
        return min((part for part in parts if part is not None), default=None)

    @property
    def mean_loss(self) -> float | None:
        """The mean expected loss of the decisions made under a value guard since this object is."""
        return self._losses.exploration / self._losses.decisions if self._losses.decisions else None

    def _entity(self, entities: Mapping[str, str]) -> str | None:
        key = self.budget.config.entity if self.budget else None
        return None if key is None else entities.get(key)


def history_of(config: ExplorationConfig, top: float | None, now: int, before: History) -> History:
    """Return the history that a config needs; parts of the one `before` go on where their settings are the same.

    `top` is the largest reward. What serves never goes back in the log, whatever line it is of, so its counts go on.
    """
    budget, gate, learned = before.budget, before.gate, before.learned
    if (budget and budget.config) != config.budget:
        budget = Budget(config.budget, now) if config.budget else None
    if config.conservative is None or top is None:
        gate = None
    elif gate is None or (gate.config, gate.top) != (config.conservative, top):
        gate = Gate(config.conservative, top, now)
    if config.ceiling is None:
        learned = None
    elif learned is None or learned.enough != config.ceiling.outcomes:
        learned = LearnedCounts(config.ceiling.outcomes)
    return History(budget, gate, learned)
