"""Linear-Gaussian policies over one Bayesian regression per action id.

Thompson Sampling: Agrawal and Goyal 2013; UCB: Li, Chu, Langford and Schapire 2010, algorithm 1.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from msgspec import Meta

from bandit.policies.base import AGAIN, NEWEST, Belief, Draws, Entry, Frozen, Gaussian, Index
from bandit.policies.portfolio import Portfolio
from bandit.policies.situation import Situation
from store.errors import InvalidInput
from store.registry import statefile


class LinearConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that both linear policies share.

    `arms` says whose coefficients are learned: each action id's own (`disjoint`), one set for all over action features
    and their products with the context (`shared`), both at once (`hybrid`), or `auto`: disjoint and shared side by
    side where actions have features, weighted by how well each predicted. `hash_bits` replaces `disjoint` by one table
    of 2^bits hashed coefficients with a diagonal precision. `memories` are decays that are tried side
    by side in the same way. `prior_variance` is the coefficients' prior variance in units of the noise, `max_features`
    bounds the columns (memory is memories x actions x columns^2 x 8 bytes) and `max_actions` the action ids that get
    coefficients of their own.
    """

    arms: Literal["auto", "disjoint", "shared", "hybrid"] = "auto"
    memories: Annotated[tuple[Annotated[float, Meta(ge=0.01, le=1)], ...], Meta(min_length=1, max_length=8)] = (
        1.0,
        0.995,
        0.98,
    )
    hash_bits: Annotated[int, Meta(ge=8, le=24)] | None = None
    prior_variance: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    max_features: Annotated[int, Meta(ge=1, le=2048)] = 256
    max_actions: Annotated[int, Meta(ge=1, le=10_000)] = 1000

    def __post_init__(self) -> None:
        if self.hash_bits is not None and self.arms in {"shared", "hybrid"}:
            raise InvalidInput(
                f"policy.hash_bits is {self.hash_bits} and policy.arms {self.arms!r}; hashing is for coefficients of "
                "each action's own: leave one of the two out"
            )


class LinearTsConfig(LinearConfig, frozen=True, forbid_unknown_fields=True):
    """Thompson Sampling, posterior deviations scaled by `scale`.

    `probabilities` says how an action's probability of having the highest draw is got: the `integral` itself, or its
    frequency in `draws` frozen posterior draws per decision.
    """

    probabilities: Literal["integral", "draws"] = "integral"
    draws: Annotated[int, Meta(ge=1, le=10_000)] = 64
    scale: Annotated[float, Meta(gt=0, le=100)] = 0.5


class LinearUcbConfig(LinearConfig, frozen=True, forbid_unknown_fields=True):
    """UCB: the score is the mean plus `alpha` posterior deviations."""

    alpha: Annotated[float, Meta(ge=0, le=100)] = 1.0


class _Linear:
    """What both have in common: the regressions, and how their state is written."""

    kind: ClassVar[str]
    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    def __init__(self, config: Any, decay: float) -> None:  # noqa: ANN401  # one of the two configs above
        self.config = config
        self.model = Portfolio(config, decay)

    @classmethod
    def create(cls, config: Any, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy in its prior state."""
        return cls(config, decay)

    @classmethod
    def load(cls, config: Any, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy from a state that `dump` wrote."""
        policy = cls(config, decay)
        policy.model.restore(*statefile.unpack(cls.kind, state))
        return policy

    def dump(self) -> bytes:
        """Return the state as named arrays."""
        return statefile.pack(self.kind, self.model.header(), self.model.arrays())

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

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Replace a learned reward."""
        self.model.correct(situation, arm, reward, previous, entry)


class LinearTs(_Linear):
    """Thompson Sampling: each action with the probability that its draw from the posterior is the highest."""

    kind: ClassVar[str] = "linear_ts"
    config_type: ClassVar[type[msgspec.Struct]] = LinearTsConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return the posterior of each action's expected reward; disjoint actions are independent."""
        mean, deviation = self.model.scores(situation)
        if self.config.probabilities == "integral":
            return Gaussian(mean, deviation, self.config.scale)
        noise = frozen().standard_normal((self.config.draws, len(mean)))
        return Draws(mean + deviation * self.config.scale * noise, mean, deviation)


class LinearUcb(_Linear):
    """Upper confidence bounds: the highest mean plus `alpha` deviations is chosen."""

    kind: ClassVar[str] = "linear_ucb"
    config_type: ClassVar[type[msgspec.Struct]] = LinearUcbConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Score each action by its upper confidence bound."""
        mean, deviation = self.model.scores(situation)
        return Index(mean + self.config.alpha * deviation, mean, deviation)
