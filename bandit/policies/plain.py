"""Policies without a model: uniform, one fixed action, and the caller's first choice."""

from typing import ClassVar, Self

import msgspec
import numpy as np

from bandit.policies.base import AGAIN, NEWEST, Arms, Belief, Entry, Floats, Frozen, Pmf
from bandit.policies.situation import Situation


class UniformConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class BaselineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class FixedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`action` is the id to choose."""

    action: str


class _Stateless:
    """A policy that learns nothing, and so has nothing to forget."""

    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    def __init__(self, config: msgspec.Struct) -> None:
        self.config = config

    @classmethod
    def create(cls, config: msgspec.Struct, *, decay: float = 1.0) -> Self:  # noqa: ARG003  # nothing is learned
        """Make the policy."""
        return cls(config)

    @classmethod
    def load(cls, config: msgspec.Struct, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ARG003  # as above
        """Make the policy; there is no state to read."""
        return cls(config)

    def dump(self) -> bytes:
        """Return the empty state."""
        return b""

    def learn(self, situation: Situation, arm: int, reward: float, propensity: float, entry: Entry = NEWEST) -> None:
        """Learn nothing."""

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Correct nothing."""


class Uniform(_Stateless):
    """Every eligible action with the same probability."""

    kind: ClassVar[str] = "uniform"
    config_type: ClassVar[type[msgspec.Struct]] = UniformConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return the uniform distribution."""
        count = len(situation.ids)
        return Pmf(np.full(count, 1 / count))


class Fixed(_Stateless):
    """Always the configured action; even among the eligible ones where it is not eligible."""

    kind: ClassVar[str] = "fixed"
    config_type: ClassVar[type[msgspec.Struct]] = FixedConfig
    config: FixedConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return probability 1 for the configured action."""
        return Pmf(np.array([float(arm == self.config.action) for arm in situation.ids]))


class Baseline(_Stateless):
    """Always the caller's first action that is eligible: the one place where the request's order is a choice."""

    kind: ClassVar[str] = "baseline"
    config_type: ClassVar[type[msgspec.Struct]] = BaselineConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return the request's order."""
        return Ordered(situation.order())


class Ordered:
    """Probability 1 for the first of the actions asked for, by `order`, shape (K,); no reward is predicted."""

    __slots__ = ("_order", "deviation", "mean")

    def __init__(self, order: Arms) -> None:
        self.mean: Floats | None = None
        self.deviation: Floats | None = None
        self._order = order

    def distribution(self, among: Arms) -> Floats:
        """Return probability 1 for the first of the actions asked for."""
        order = self._order[among]
        return np.asarray(order == order.min(), dtype=np.float64)
