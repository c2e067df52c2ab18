"""The learner: folds outcomes into a line's state, in log order, without gaps."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

import msgspec

from bandit.decide import MAX_TOP_N, DecisionRequest
from bandit.policies.base import Entry, Policy
from bandit.policies.situation import Situation
from store.ledger.rules import RewardRules
from store.ledger.worth import credits_of
from store.lineage import Line, PassesOver
from store.records import Decision, Example, Outcome


class Learner:
    """A line and how far it has folded the outcome log.

    `position` is that of the newest outcome that the policy's state contains, and `settled` how many of them settled
    their decision; `rules` say what rewards are worth. Behind each of the positions `relearnings`, in the order of the
    log, the fold goes on from a `fresh` policy that learned anew: see `relearn`. The line began behind the position
    `began`, and learned anew what is behind the one that `relearnings` has for it. Of decisions whose first outcome is
    before that it learns nothing, for what they earned is not all there. What the line `passes_over` leaves its state
    as it is.
    """

    __slots__ = (
        *("_anew", "_fresh", "_rules", "began", "line", "passes_over", "policy", "position", "relearnings", "settled"),
    )

    def __init__(  # noqa: PLR0913  # what a line is made of
        self,
        line: str,
        policy: Policy,
        rules: RewardRules,
        position: int = 0,
        settled: int = 0,
        *,
        relearnings: Mapping[int, int] = MappingProxyType({}),
        fresh: Callable[[], Policy] | None = None,
        began: int = 0,
        passes_over: PassesOver = PassesOver(),  # noqa: B008  # frozen
    ) -> None:
        self.line = line
        self.passes_over = passes_over
        self.policy = policy
        self.position = position
        self.settled = settled
        self.relearnings = dict(relearnings)
        self.began = began
        self._rules = rules
        self._fresh = fresh
        self._anew: _Anew | None = None

    @property
    def model_version(self) -> str:
        """The name of the state: `line@position`."""
        return f"{self.line}@{self.position}"

    @property
    def relearned(self) -> int | None:
        """How far it has learned anew, while it does; None where there is nothing to learn anew at `position`."""
        reached = self._anew.reached if self._anew else self.relearnings.get(self.position, 0)
        return reached if self.position in self.relearnings and reached < self.position else None

    @property
    def learns_from(self) -> int:
        """The position of the first outcome that what is learned next goes on from; 1 unless earlier ones were deleted.

        Decisions whose first outcome is before it are not learned.
        """
        anew = (since for there, since in reversed(self.relearnings.items()) if there <= self.position)
        return next(anew, self.began) + 1

    def with_policy(self, policy: Policy) -> "Learner":
        """Return a learner at the same position with a copy of the policy."""
        return Learner(
            self.line,
            policy,
            self._rules,
            self.position,
            self.settled,
            relearnings=self.relearnings,
            fresh=self._fresh,
            began=self.began,
            passes_over=self.passes_over,
        )

    def become(self, line: Line) -> None:
        """Go on as another line, which is one with this one so far."""
        self.line, self.passes_over = line.name, line.passes_over

    def fold(self, examples: Iterable[Example], passed_over: Collection[int] | None = None) -> None:
        """Fold the next outcomes; they must follow `position` one by one.

        Those at the positions `passed_over` change nothing but the position.

        Raises `ValueError` when an outcome is missing, repeated or out of order, or is to follow what was not yet
        learned anew; and where nobody says what is passed over although the line has a rule for it.
        """
        if passed_over is None and self.passes_over:
            raise ValueError(f"{self.line} passes over a part of the log: use `advance`")
        for example in examples:
            if example.outcome.position != self.position + 1:
                raise ValueError(f"outcome {example.outcome.position} does not follow {self.position}")
            # The state that `position` names stays what folding gave: what was learned anew has its first name behind.
            policy = self._learned_anew() if self.position in self.relearnings else self.policy
            root, position = example.outcome.root, example.outcome.position
            whole = root is None or root >= self.learns_from
            learns = whole and (not passed_over or position not in passed_over)
            if learns:
                self._fold_one(policy, example, settles=_settles(example.outcome))
            self.policy, self._anew = policy, None
            self.position += 1
            self.settled += learns and _settles(example.outcome)

    def relearn(self, examples: Iterable[Example], *, through: int) -> None:
        """Learn decisions' newest outcomes, in the order of their first ones, which were all through that position.

        The policy serves as it is until the next outcome is folded.
        """
        if self._anew is None:
            if self._fresh is None:
                raise ValueError(f"{self.line} cannot begin anew: open it with `open_line`")
            self._anew = _Anew(self._fresh())
        for example in examples:
            self._fold_one(self._anew.policy, example, settles=example.outcome.settled)
        self._anew.reached = through

    def _learned_anew(self) -> Policy:
        if self._anew is None or self.relearned is not None:
            raise ValueError(f"{self.model_version} is to be learned anew before it goes on: use `advance`")
        return self._anew.policy

    def _fold_one(self, policy: Policy, example: Example, *, settles: bool) -> None:
        outcome, decision, before = example.outcome, example.decision, example.before
        if outcome.kind in {"censored", "erased"}:
            return
        situation, slots = read_situation(decision), len(decision.ranking)
        learned = credits_of(outcome, slots, self._rules)
        replaced = [None] * slots if before is None else credits_of(before, slots, self._rules)
        for place, (slot, reward, previous) in enumerate(zip(decision.ranking, learned, replaced, strict=True)):
            entry = Entry((outcome.root or outcome.position) * MAX_TOP_N + place, settles)
            arm = situation.ids.index(slot.action)
            if before is None and reward is not None:
                policy.learn(situation, arm, reward, slot.propensity, entry)
            elif reward is not None and previous is not None:
                # What a slot learned can be changed, not taken back or added: its place in the fold was then.
                policy.correct(situation, arm, reward, previous, entry)


class _Anew:
    """A policy that learns anew, and through which entry of the log it has come."""

    __slots__ = ("policy", "reached")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.reached = 0


def _settles(outcome: Outcome) -> bool:
    """Say whether an outcome is the first word on a decision that models may be judged by."""
    return outcome.kind in {"rewarded", "expired"}


def read_situation(decision: Decision) -> Situation:
    """Return what the policy saw when it decided, from the decision as it was logged."""
    request = msgspec.json.decode(decision.request, type=DecisionRequest)
    by_id = {action.id: action for action in request.actions}
    return Situation(request.context, [by_id[name] for name in decision.actions], request.actions)
