"""Epsilon-greedy: mostly the highest predicted reward, sometimes any action (Sutton and Barto 2018, section 2.2)."""

from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.base import Floats, Rule
from bandit.policies.valued import Valued, ValuedConfig


class EpsilonGreedyConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """After n outcomes, all actions alike share the probability `epsilon` (1 + n)^-`power`; 0 keeps it constant."""

    epsilon: Annotated[float, Meta(ge=0, le=1)] = 0.1
    power: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Mixed(msgspec.Struct, frozen=True):
    """The rule that shares 1 - `epsilon` among the highest means and `epsilon` among all."""

    epsilon: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:  # noqa: ARG002  # a `Rule`
        """Return the probabilities; shapes (K,)."""
        highest = mean == mean.max()
        return np.asarray((1 - self.epsilon) * (highest / highest.sum()) + self.epsilon / len(mean))


class EpsilonGreedy(Valued):
    """Greedy on the predicted rewards, with a probability `epsilon` of something else, which may shrink."""

    kind: ClassVar[str] = "epsilon_greedy"
    config_type: ClassVar[type[msgspec.Struct]] = EpsilonGreedyConfig

    def rule(self) -> Rule:
        """Return the rule with the epsilon of now."""
        return Mixed(self.config.epsilon * (1 + self.learned) ** -self.config.power)
