"""The learner: folds outcomes into a line's state, in log order, without gaps."""

from collections.abc import Iterable

import msgspec

from bandit.decide import MAX_TOP_N, DecisionRequest
from bandit.policies.base import Entry, Policy
from bandit.policies.situation import Situation
from store.ledger.rules import RewardRules
from store.ledger.worth import credits_of
from store.records import Decision, Example, Outcome


class Learner:
    """A line and how far it has folded the outcome log.

    `position` is that of the newest outcome that the policy's state contains, and `settled` how many of them settled
    their decision; `rules` say what rewards are worth.
    """

    __slots__ = ("_rules", "line", "policy", "position", "settled")

    def __init__(self, line: str, policy: Policy, rules: RewardRules, position: int = 0, settled: int = 0) -> None:
        self.line = line
        self.policy = policy
        self.position = position
        self.settled = settled
        self._rules = rules

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
            self.settled += _settles(example.outcome)

    def _fold_one(self, example: Example) -> None:
        outcome, decision, before = example.outcome, example.decision, example.before
        if outcome.kind == "censored":
            return
        situation, slots = read_situation(decision), len(decision.ranking)
        learned = credits_of(outcome, slots, self._rules)
        replaced = [None] * slots if before is None else credits_of(before, slots, self._rules)
        for place, (slot, reward, previous) in enumerate(zip(decision.ranking, learned, replaced, strict=True)):
            entry = Entry((outcome.root or outcome.position) * MAX_TOP_N + place, _settles(outcome))
            arm = situation.ids.index(slot.action)
            if before is None and reward is not None:
                self.policy.learn(situation, arm, reward, slot.propensity, entry)
            elif reward is not None and previous is not None:
                # What a slot learned can be changed, not taken back or added: its place in the fold was then.
                self.policy.correct(situation, arm, reward, previous, entry)


def _settles(outcome: Outcome) -> bool:
    """Say whether an outcome is the first word on a decision that models may be judged by."""
    return outcome.kind in {"rewarded", "expired"}


def read_situation(decision: Decision) -> Situation:
    """Return what the policy saw when it decided, from the decision as it was logged."""
    request = msgspec.json.decode(decision.request, type=DecisionRequest)
    by_id = {action.id: action for action in request.actions}
    return Situation(request.context, [by_id[name] for name in decision.actions], request.actions)
