"""Softmax (Boltzmann) exploration: probabilities grow exponentially with predictions (Sutton and Barto 2018, 2.8)."""

import functools
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.base import Floats, Rule
from bandit.policies.valued import Valued, ValuedConfig


class SoftmaxConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """`temperature`, in units of the reward: a gap of one temperature divides a probability by e."""

    temperature: Annotated[float, Meta(ge=1e-9, le=1e15)] = 0.1


class Softmax(Valued):
    """Each action in proportion to exp(predicted reward / temperature)."""

    kind: ClassVar[str] = "softmax"
    config_type: ClassVar[type[msgspec.Struct]] = SoftmaxConfig

    def rule(self) -> Rule:
        """Return the rule with its temperature."""
        return functools.partial(boltzmann, temperature=self.config.temperature)


def boltzmann(mean: Floats, deviation: Floats, *, temperature: float) -> Floats:  # noqa: ARG001  # a `Rule`
    """Return exp(mean / temperature), normalised, shapes (K,); the highest mean is subtracted first."""
    weights = np.exp((mean - mean.max()) / temperature)
    return np.asarray(weights / weights.sum())
