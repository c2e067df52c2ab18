"""Softmax (Boltzmann) exploration: probabilities grow exponentially with predictions (Sutton and Barto 2018, 2.8)."""

from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.base import Floats, Rule
from bandit.policies.valued import Valued, ValuedConfig


class SoftmaxConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """`temperature`, in units of the reward: a gap of one temperature divides a probability by e."""

    temperature: Annotated[float, Meta(ge=1e-9, le=1e15)] = 0.1


class Boltzmann(msgspec.Struct, frozen=True):
    """The rule exp(mean / `temperature`), normalised; the highest mean is subtracted first."""

    temperature: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:  # noqa: ARG002  # a `Rule`
        """Return the probabilities; shapes (K,)."""
        weights = np.exp((mean - mean.max()) / self.temperature)
        return np.asarray(weights / weights.sum())


class Softmax(Valued):
    """Each action in proportion to exp(predicted reward / temperature)."""

    kind: ClassVar[str] = "softmax"
    config_type: ClassVar[type[msgspec.Struct]] = SoftmaxConfig

    def rule(self) -> Rule:
        """Return the rule with its temperature."""
        return Boltzmann(self.config.temperature)
