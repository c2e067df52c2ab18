"""The learner: folds outcomes into a line's state, in log order, without gaps."""

from collections.abc import Iterable, Sequence

import msgspec

from bandit.decide import DecisionRequest
from bandit.policies.base import Policy
from bandit.policies.situation import Situation
from store.records import Decision, Example


class Learner:
    """A line and how far it has folded the outcome log.

    `position` is that of the newest outcome that the policy's state contains.
    """

    __slots__ = ("line", "policy", "position")

    def __init__(self, line: str, policy: Policy, position: int = 0) -> None:
        self.line = line
        self.policy = policy
        self.position = position

    @property
    def model_version(self) -> str:
        """The name of the state: `line@position`."""
        return f"{self.line}@{self.position}"

    def fold(self, examples: Iterable[Example]) -> None:
        """Fold the next outcomes; they must follow `position` one by one.

        Raises `ValueError` when an outcome is missing, repeated or out of order.
        """
        for example in examples:
            if example.outcome.position != self.position + 1:
                raise ValueError(f"outcome {example.outcome.position} does not follow {self.position}")
            self._fold_one(example)
            self.position += 1

    def _fold_one(self, example: Example) -> None:
        outcome, decision = example.outcome, example.decision
        situation = read_situation(decision)
        for slot in _credited(decision, outcome.slot):
            arm = situation.ids.index(decision.ranking[slot].action)
            if outcome.previous is None:
                self.policy.learn(situation, arm, outcome.value, decision.ranking[slot].propensity)
            else:
                self.policy.correct(situation, arm, outcome.value, outcome.previous)


def read_situation(decision: Decision) -> Situation:
    """Return what the policy saw when it decided, from the decision as it was logged."""
    request = msgspec.json.decode(decision.request, type=DecisionRequest)
    by_id = {action.id: action for action in request.actions}
    return Situation(request.context, [by_id[name] for name in decision.actions], request.actions)


def _credited(decision: Decision, slot: int | None) -> Sequence[int]:
    """Return the slots that a reward is learned for: the one it names, or the whole ranking."""
    return range(len(decision.ranking)) if slot is None else [slot]
