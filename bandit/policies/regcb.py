"""RegCB: every action that could be the best under a regression that fits the log nearly as well as the best one.

Foster, Agarwal, Dudik, Luo and Schapire 2018, Practical Contextual Bandits with Regression Oracles, algorithm 1.
"""

import math
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.base import Floats, Rule
from bandit.policies.valued import Valued, ValuedConfig


class RegCbConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """How wide the confidence set is, and what is chosen in it.

    `beta`: by how many noise variances the sum of squared errors (the prior's term included) may exceed its least.
    `choice`: `elimination` shares evenly among the actions that could be the best, `optimism` takes the one with the
    highest value that the set allows.
    """

    beta: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    choice: Literal["elimination", "optimism"] = "elimination"


class Survivors(msgspec.Struct, frozen=True):
    """The rule that shares evenly among the actions whose upper bound is no lower than every lower bound."""

    width: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:
        """Return the probabilities; shapes (K,)."""
        return _evenly(mean + self.width * deviation >= (mean - self.width * deviation).max())


class Optimistic(msgspec.Struct, frozen=True):
    """The rule that shares evenly among the actions of the highest upper bound."""

    width: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:
        """Return the probabilities; shapes (K,)."""
        upper = mean + self.width * deviation
        return _evenly(upper == upper.max())


class RegCb(Valued):
    """Confidence bounds from the regression's loss: a linear one has them in closed form, no search is needed.

    The loss around its least is (theta - mean)' cov^-1 (theta - mean), so the values x.theta that a set of loss
    `beta` sigma^2 above it allows are mean +- sqrt(`beta`) deviations.
    """

    kind: ClassVar[str] = "regcb"
    config_type: ClassVar[type[msgspec.Struct]] = RegCbConfig

    def rule(self) -> Rule:
        """Return the rule with the set's width."""
        chosen = Survivors if self.config.choice == "elimination" else Optimistic
        return chosen(math.sqrt(self.config.beta))


def _evenly(chosen: np.typing.NDArray[np.bool_]) -> Floats:
    return np.asarray(chosen / chosen.sum())
