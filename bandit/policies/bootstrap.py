"""Bootstrap Thompson Sampling: regressions that each learned another resampling of the log vote for their best action.

Eckles and Kaptein 2014, Thompson Sampling with the Online Bootstrap; Oza and Russell 2001 for the Poisson weights. An
action that was never tried has no outcomes to resample: each replicate adds a fixed random offset of its own to an
action's reward and learns what is left (randomised prior functions; Osband, Aslanides and Cassirer 2018).
"""

import functools
import hashlib
import math
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal, Self

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bandit.policies.base import AGAIN, NEWEST, Belief, Draws, Entry, Floats, Frozen
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation
from bandit.policies.valued import ValuedConfig
from store.registry import statefile

_POISSON = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
"""The distribution function of Poisson(1) to 11; above it is 8e-10."""
_NOISE = 0.5
"""The deviation of a reward that may be 0 or 1: with it the prior variance is in units of the reward."""


class BootstrapTsConfig(ValuedConfig, frozen=True, forbid_unknown_fields=True):
    """How many replicates there are, and how often each learns an outcome.

    `weights`: `poisson` (mean 1) or `double_or_nothing` (0 or 2 times, alike). Probabilities are multiples of
    1 / `replicates`. Memory is that of a linear policy times `replicates`.
    """

    replicates: Annotated[int, Meta(ge=2, le=256)] = 16
    weights: Literal["poisson", "double_or_nothing"] = "poisson"
    max_features: Annotated[int, Meta(ge=1, le=2048)] = 64


class BootstrapTs:
    """B replicates: copies of the regressions of each action id; `learned` outcomes seed the next one's weights.

    Weights and offsets are hashes of what the log holds, not random numbers: a replay gives the same state.
    """

    kind: ClassVar[str] = "bootstrap_ts"
    config_type: ClassVar[type[msgspec.Struct]] = BootstrapTsConfig
    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = False

    def __init__(self, config: BootstrapTsConfig, decay: float) -> None:
        self.config = config
        self.learned = 0
        decays = [decay] * config.replicates
        self.model = Regressions(config.prior_variance, config.max_features, config.max_actions, decays)
        self._spread = _NOISE * math.sqrt(config.prior_variance)

    @classmethod
    def create(cls, config: BootstrapTsConfig, *, decay: float = 1.0) -> Self:
        """Make the policy with replicates that differ in their offsets alone."""
        return cls(config, decay)

    @classmethod
    def load(cls, config: BootstrapTsConfig, state: bytes, *, decay: float = 1.0) -> Self:
        """Make the policy from a state that `dump` wrote."""
        policy = cls(config, decay)
        header, arrays = statefile.unpack(cls.kind, state)
        policy.learned = header["learned"]
        policy.model.restore(header, arrays)
        return policy

    def dump(self) -> bytes:
        """Return the replicates' numbers."""
        header = {"learned": self.learned, **self.model.header()}
        return statefile.pack(self.kind, header, self.model.arrays())

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # the replicates are the draws
        """Return what each replicate predicts, as draws; mean and deviation are over the replicates."""
        offsets = np.stack([self._offsets(arm) for arm in situation.ids], axis=1)
        scores = offsets + self.model.centers(situation)
        return Draws(scores, scores.mean(axis=0), scores.std(axis=0))

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        propensity: float,  # noqa: ARG002  # it plays no part in a likelihood
        entry: Entry = NEWEST,
    ) -> None:
        """Let each replicate learn what its offset leaves of the reward, as often as its weight says."""
        self.model.learn(situation, arm, reward - self._offsets(situation.ids[arm]), entry, self._weights())
        self.learned += 1

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Replace a learned reward once in every replicate: that is how often it was learned on average."""
        offsets = self._offsets(situation.ids[arm])
        self.model.correct(situation, arm, reward - offsets, previous - offsets, entry)

    def _offsets(self, arm: str) -> Floats:
        return self._spread * _normals(arm, self.config.replicates)

    def _weights(self) -> NDArray[np.intp]:
        u = _uniforms(f"weights/{self.learned}", self.config.replicates)
        if self.config.weights == "poisson":
            return np.searchsorted(_POISSON, u, side="right")
        return 2 * (u < 0.5).astype(np.intp)


def _uniforms(seed: str, count: int) -> Floats:
    """Return numbers in (0, 1) that are a hash of the seed: the same with every version of every library."""
    words = np.frombuffer(hashlib.shake_256(seed.encode()).digest(8 * count), dtype="<u8")
    return np.asarray(((words >> np.uint64(11)) + 0.5) * 2.0**-53, dtype=np.float64)


@functools.lru_cache(maxsize=20_000)
def _normals(arm: str, count: int) -> Floats:
    """Return an action's standard normal numbers, one per replicate."""
    return np.array([NormalDist().inv_cdf(u) for u in _uniforms(f"prior/{arm}", count).tolist()])
