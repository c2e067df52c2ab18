"""What every policy is, and the four shapes that its belief about a decision can take."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.policies import winning
from bandit.policies.situation import Situation

Floats: TypeAlias = NDArray[np.float64]
Arms: TypeAlias = NDArray[np.intp]

Frozen: TypeAlias = Callable[[], np.random.Generator]
"""Makes the generator of a decision's frozen posterior draws; a policy that draws nothing never calls it."""


class Belief(Protocol):
    """What a policy believes about one decision, frozen before anything is sampled.

    `mean` is the predicted reward per eligible action, shape (K,), or None where a policy predicts none.
    """

    @property
    def mean(self) -> Floats | None:
        """The predicted reward per eligible action, shape (K,), or None."""

    def distribution(self, among: Arms) -> Floats:
        """Return the policy's probabilities over the eligible actions `among`; they sum to 1."""


class Policy(Protocol):
    """A policy and its state. `believe` is pure; `learn` and `correct` fold one outcome into the state."""

    kind: ClassVar[str]
    config_type: ClassVar[type[msgspec.Struct]]

    @classmethod
    def create(cls, config: Any) -> Self:  # noqa: ANN401  # each kind has its own `config_type`
        """Make the policy in its prior state."""

    @classmethod
    def load(cls, config: Any, state: bytes) -> Self:  # noqa: ANN401  # as above
        """Make the policy from a state that `dump` wrote; raises `InvalidInput` if it is damaged."""

    def dump(self) -> bytes:
        """Return the state; equal states give equal bytes."""

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return what the policy believes about the situation."""

    def learn(self, situation: Situation, arm: int, reward: float, propensity: float) -> None:
        """Fold in that the `arm`-th eligible action, served with that propensity, earned that reward."""

    def correct(self, situation: Situation, arm: int, reward: float, previous: float) -> None:
        """Replace a reward that was learned as `previous`, as far as this kind of policy can."""


class Draws:
    """Frozen posterior draws: the distribution is how often each action wins, exact for any posterior.

    `scores` has shape (S, K): one row per draw. `mean` has shape (K,).
    """

    __slots__ = ("mean", "scores")

    def __init__(self, scores: Floats, mean: Floats) -> None:
        self.scores = scores
        self.mean: Floats | None = mean

    def distribution(self, among: Arms) -> Floats:
        """Return the frequency with which each action has the highest draw."""
        scores = self.scores if len(among) == self.scores.shape[1] else self.scores[:, among]
        wins = np.bincount(scores.argmax(axis=1), minlength=len(among))
        return wins / len(scores)


class Gaussian:
    """Independent Gaussian posteriors: each action with the probability that its draw is the highest. Shapes (K,)."""

    __slots__ = ("deviation", "mean")

    def __init__(self, mean: Floats, deviation: Floats) -> None:
        self.mean: Floats | None = mean
        self.deviation = deviation

    def distribution(self, among: Arms) -> Floats:
        """Return the probability of each action to be the best of those asked for."""
        assert self.mean is not None  # noqa: S101
        return winning.gaussian(self.mean[among], self.deviation[among])


class Index:
    """One deterministic score per action: the highest is chosen, ties evenly. Shapes (K,)."""

    __slots__ = ("mean", "scores")

    def __init__(self, scores: Floats, mean: Floats) -> None:
        self.scores = scores
        self.mean: Floats | None = mean

    def distribution(self, among: Arms) -> Floats:
        """Return probability 1 shared by the actions of the highest score."""
        scores = self.scores[among]
        highest = scores == scores.max()
        return np.asarray(highest / highest.sum())


class Pmf:
    """Probabilities that the policy gives outright, shape (K,)."""

    __slots__ = ("mean", "probabilities")

    def __init__(self, probabilities: Floats, mean: Floats | None = None) -> None:
        self.probabilities = probabilities
        self.mean = mean

    def distribution(self, among: Arms) -> Floats:
        """Return the probabilities, renormalised over `among`; even where all of them are 0."""
        p = self.probabilities[among]
        total = p.sum()
        return p / total if total > 0 else np.full(len(among), 1 / len(among))
