"""What the policies share that explore by a rule over predicted rewards: one linear regression per action id.

The regressions are those of `regression.py`; a subclass adds its settings and its rule.
"""

from typing import Annotated, Any, ClassVar, Self

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.base import AGAIN, NEWEST, Belief, Entry, Frozen, Rule, Ruled
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation
from store.registry import statefile


class ValuedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the regressions.

    `prior_variance` is the coefficients' prior variance in units of the noise, `max_features` bounds the columns
    (memory is actions x columns^2 x 8 bytes) and `max_actions` the action ids that get coefficients of their own.
    """

    prior_variance: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    max_features: Annotated[int, Meta(ge=1, le=2048)] = 256
    max_actions: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class Valued:
    """The regressions, and `learned`: how many outcomes they know, for rules that explore less with time.

    With a decay below 1 `learned` forgets as the regressions do, and so never exceeds 1 / (1 - decay): a policy that
    forgets never stops exploring.
    """

    kind: ClassVar[str]
    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    def __init__(self, config: Any, decay: float) -> None:  # noqa: ANN401  # a subclass of the config above
        self.config = config
        self.decay = decay
        self.model = Regressions(config.prior_variance, config.max_features, config.max_actions, decay)
        self.learned = 0.0

    @classmethod
    def create(cls, config: Any, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy in its prior state."""
        return cls(config, decay)

    @classmethod
    def load(cls, config: Any, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy from a state that `dump` wrote."""
        policy = cls(config, decay)
        header, arrays = statefile.unpack(cls.kind, state)
        policy.learned = float(arrays.pop("learned")[0])
        policy.model.restore(header, arrays)
        return policy

    def dump(self) -> bytes:
        """Return the state as named arrays."""
        arrays = {**self.model.arrays(), "learned": np.array([self.learned])}
        return statefile.pack(self.kind, self.model.header(), arrays)

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return the predicted rewards and the rule that turns them into probabilities."""
        mean, deviation = self.model.scores(situation)
        return Ruled(mean, deviation, self.rule())

    def rule(self) -> Rule:
        """Return the rule as it stands after what was learned."""
        raise NotImplementedError

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        propensity: float,  # noqa: ARG002  # it plays no part in a likelihood
        entry: Entry = NEWEST,
    ) -> None:
        """Fold in one reward."""
        self.model.learn(situation, arm, reward, entry)
        self.learned = self.decay * self.learned + 1

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Replace a learned reward."""
        self.model.correct(situation, arm, reward, previous, entry)
