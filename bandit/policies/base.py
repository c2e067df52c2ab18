"""What every policy is, and the shapes that its belief about a decision can take."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.policies import winning
from bandit.policies.situation import Situation

Floats: TypeAlias = NDArray[np.float64]
Arms: TypeAlias = NDArray[np.intp]

Frozen: TypeAlias = Callable[[], np.random.Generator]
"""Makes the generator of a decision's frozen posterior draws; a policy that draws nothing never calls it."""


Rule: TypeAlias = Callable[[Floats, Floats], Floats]
"""Makes probabilities, shape (K,), from the means and deviations of K actions."""


class Entry(NamedTuple):
    """Where in the fold an outcome stands.

    `step` numbers what is learned, ascending; a correction names the step of what it corrects. `settles` says that the
    reward is the decision's last word so far, so that models may be judged by it: a default that is learned before the
    decision's window has passed is not.
    """

    step: int = 0
    settles: bool = True


NEWEST = Entry()
"""An outcome that is learned, or taken as learned, now."""
AGAIN = Entry(settles=False)
"""A correction of one that models were judged by already."""


class Belief(Protocol):
    """What a policy believes about one decision, frozen before anything is sampled.

    `mean` is the predicted reward per eligible action, shape (K,), or None where a policy predicts none; `deviation` is
    the posterior standard deviation of that prediction, shape (K,), or None where a policy does not know it.
    """

    @property
    def mean(self) -> Floats | None:
        """The predicted reward per eligible action, shape (K,), or None."""

    @property
    def deviation(self) -> Floats | None:
        """The standard deviation of `mean`, shape (K,), or None."""

    def distribution(self, among: Arms) -> Floats:
        """Return the policy's probabilities over the eligible actions `among`; they sum to 1."""


class Policy(Protocol):
    """A policy and its state. `believe` is pure; `learn` and `correct` fold one outcome into the state."""

    kind: ClassVar[str]
    config_type: ClassVar[type[msgspec.Struct]]
    forgets: ClassVar[bool]
    """Whether the kind can forget; where it cannot, a decay below 1 is refused when the loop is put."""
    corrects: ClassVar[bool]
    """Whether `correct` leaves the state that would have been, had the reward been there in the first place."""

    @classmethod
    def create(cls, config: Any, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # each kind has its own `config_type`
        """Make the policy in its prior state; `decay` in (0, 1] is how much of what was learned each outcome leaves."""

    @classmethod
    def load(cls, config: Any, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # as above
        """Make the policy from a state that `dump` wrote; raises `InvalidInput` if it is damaged."""

    def dump(self) -> bytes:
        """Return the state; equal states give equal bytes."""

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return what the policy believes about the situation."""

    def learn(self, situation: Situation, arm: int, reward: float, propensity: float, entry: Entry = NEWEST) -> None:
        """Fold in that the `arm`-th eligible action, served with that propensity, earned that reward."""

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Replace a reward that was learned as `previous` at `entry.step`, as far as this kind of policy can."""


class Draws:
    """Frozen posterior draws: the distribution is how often each action wins, exact for any posterior.

    `scores` has shape (S, K): one row per draw. `mean` and `deviation` have shape (K,).
    """

    __slots__ = ("deviation", "mean", "scores")

    def __init__(self, scores: Floats, mean: Floats, deviation: Floats | None = None) -> None:
        self.scores = scores
        self.mean: Floats | None = mean
        self.deviation = deviation

    def distribution(self, among: Arms) -> Floats:
        """Return the frequency with which each action has the highest draw."""
        scores = self.scores if len(among) == self.scores.shape[1] else self.scores[:, among]
        wins = np.bincount(scores.argmax(axis=1), minlength=len(among))
        return wins / len(scores)


class Gaussian:
    """Independent Gaussian posteriors: each action with the probability that its draw is the highest. Shapes (K,).

    Draws deviate by `scale` times the posterior's deviation.
    """

    __slots__ = ("deviation", "mean", "scale")

    def __init__(self, mean: Floats, deviation: Floats, scale: float = 1.0) -> None:
        self.mean: Floats | None = mean
        self.deviation: Floats | None = deviation
        self.scale = scale

    def distribution(self, among: Arms) -> Floats:
        """Return the probability of each action to be the best of those asked for."""
        return winning.gaussian(self.mean[among], self.deviation[among] * self.scale)  # type: ignore[index]  # given


class Index:
    """One deterministic score per action: the highest is chosen, ties evenly. Shapes (K,)."""

    __slots__ = ("deviation", "mean", "scores")

    def __init__(self, scores: Floats, mean: Floats, deviation: Floats | None = None) -> None:
        self.scores = scores
        self.mean: Floats | None = mean
        self.deviation = deviation

    def distribution(self, among: Arms) -> Floats:
        """Return probability 1 shared by the actions of the highest score."""
        scores = self.scores[among]
        highest = scores == scores.max()
        return np.asarray(highest / highest.sum())


class Ruled:
    """Probabilities that a rule gives from the mean and deviation of the actions asked for; shapes (K,)."""

    __slots__ = ("deviation", "mean", "rule")

    def __init__(self, mean: Floats, deviation: Floats, rule: Rule) -> None:
        self.mean: Floats | None = mean
        self.deviation: Floats | None = deviation
        self.rule = rule

    def distribution(self, among: Arms) -> Floats:
        """Return what the rule makes of the actions asked for, as if there were no others."""
        return self.rule(self.mean[among], self.deviation[among])  # type: ignore[index]  # given


class Pmf:
    """Probabilities that the policy gives outright, shape (K,)."""

    __slots__ = ("deviation", "mean", "probabilities")

    def __init__(self, probabilities: Floats, mean: Floats | None = None, deviation: Floats | None = None) -> None:
        self.probabilities = probabilities
        self.mean = mean
        self.deviation = deviation

    def distribution(self, among: Arms) -> Floats:
        """Return the probabilities, renormalised over `among`; even where all of them are 0."""
        p = self.probabilities[among]
        total = p.sum()
        return p / total if total > 0 else np.full(len(among), 1 / len(among))
