"""SquareCB: probabilities inverse to how far an action is predicted to fall short of the best.

Foster and Rakhlin 2020, Beyond UCB: Optimal and Efficient Contextual Bandits with Regression Oracles, algorithm 1.
"""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from bandit.policies.base import Floats, Rule
from bandit.policies.valued import Valued, ValuedConfig


class SquareCbConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """After n outcomes the learning rate gamma is `gamma_scale` (1 + n)^`gamma_power`; larger is greedier."""

    gamma_scale: Annotated[float, Meta(gt=0, le=1e6)] = 10.0
    gamma_power: Annotated[float, Meta(ge=0, le=1)] = 0.5


class InverseGap(msgspec.Struct, frozen=True):
    """The rule 1 / (K + `gamma` gap) off the highest mean and the rest on it, ties evenly."""

    gamma: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:  # noqa: ARG002  # a `Rule`
        """Return the probabilities; shapes (K,)."""
        highest = mean == mean.max()
        p: Floats = 1 / (len(mean) + self.gamma * (mean.max() - mean))
        p[highest] = (1 - p[~highest].sum()) / highest.sum()
        return p


class SquareCb(Valued):
    """Inverse-gap weighting of the predicted rewards."""

    kind: ClassVar[str] = "squarecb"
    config_type: ClassVar[type[msgspec.Struct]] = SquareCbConfig

    def rule(self) -> Rule:
        """Return the rule with the gamma of now."""
        return InverseGap(self.config.gamma_scale * (1 + self.learned) ** self.config.gamma_power)
