"""Disjoint linear-Gaussian policies: one Bayesian linear regression per action id, with a shared unknown noise.

Model: reward = x·theta_a + noise, theta_a ~ N(0, sigma^2 prior_variance I), noise ~ N(0, sigma^2), and an
inverse-gamma prior on sigma^2; x is [1, context, action features]. Posterior updates are the rank-one (recursive least
squares) form of the normal-inverse-gamma posterior (Bishop 2006, Pattern Recognition and Machine Learning, eq. 3.50 to
3.54 and exercise 3.12). Thompson Sampling: Agrawal & Goyal 2013; UCB: Li et al. 2010, algorithm 1.
"""

import math
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from msgspec import Meta

from bandit.compiled import compiled
from bandit.policies.base import Arms, Belief, Draws, Floats, Frozen, Gaussian, Index
from bandit.policies.columns import Columns
from bandit.policies.situation import Situation
from store.registry import statefile

_NOISE_SHAPE = 1.0
_NOISE_RATE = 0.25
"""Inverse-gamma prior of sigma^2: one pseudo-observation with the largest variance of a reward in [0, 1]."""


class LinearConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that both linear policies share.

    `prior_variance` is theta's prior variance in units of the noise, `max_features` bounds the columns (memory is
    actions x columns^2 x 8 bytes) and `max_actions` the action ids that get a regression of their own.
    """

    prior_variance: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    max_features: Annotated[int, Meta(ge=1, le=2048)] = 256
    max_actions: Annotated[int, Meta(ge=1, le=10_000)] = 1000


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


class _LinearGaussian:
    """The regression itself: `mean` (1 + A, d), `cov` (1 + A, d, d) in units of the noise, and the noise's sums.

    Row 0 is the prior, which an action that was never learned has.
    """

    kind: ClassVar[str]
    forgets: ClassVar[bool] = True

    def __init__(self, config: Any, decay: float) -> None:  # noqa: ANN401  # one of the two configs above
        self.config = config
        self.decay = decay
        self._columns = Columns(config.max_features)
        self._arms: dict[str, int] = {}
        self._mean: Floats = np.zeros((1, 1))
        self._cov: Floats = np.full((1, 1, 1), config.prior_variance)
        self._observed = 0
        self._squares = 0.0

    @classmethod
    def create(cls, config: Any, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy in its prior state."""
        return cls(config, decay)

    @classmethod
    def load(cls, config: Any, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ANN401  # see `Policy`
        """Make the policy from a state that `dump` wrote."""
        header, arrays = statefile.unpack(cls.kind, state)
        policy = cls(config, decay)
        policy._columns = Columns(config.max_features, header["columns"])
        policy._arms = {arm: row for row, arm in enumerate(header["arms"], start=1)}
        policy._observed = header["observed"]
        policy._mean, policy._cov = arrays["mean"].copy(), arrays["cov"].copy()
        policy._squares = float(arrays["squares"][0])
        return policy

    def dump(self) -> bytes:
        """Return the state as named arrays."""
        header = {"columns": list(self._columns.index), "arms": list(self._arms), "observed": self._observed}
        arrays = {"mean": self._mean, "cov": self._cov, "squares": np.array([self._squares])}
        return statefile.pack(self.kind, header, arrays)

    def learn(self, situation: Situation, arm: int, reward: float, propensity: float) -> None:  # noqa: ARG002
        """Fold in one reward by a rank-one update, O(d^2); the propensity plays no part in a likelihood."""
        self._make_room(situation, arm)
        row = self._arms.get(situation.ids[arm])
        if row is None:
            return
        x = self._columns.vector(situation.context, situation.action(arm))
        self._observed += 1
        self._squares += _update(self._mean[row], self._cov[row], x, reward)

    def correct(self, situation: Situation, arm: int, reward: float, previous: float) -> None:
        """Replace a learned reward exactly: the precision depends on x alone, the mean is linear in the reward."""
        row = self._arms.get(situation.ids[arm])
        if row is None:
            return
        x = self._columns.vector(situation.context, situation.action(arm))
        change = reward - previous
        gain = self._cov[row] @ x
        fitted = float(x @ self._mean[row])
        self._squares += reward**2 - previous**2 - 2 * change * fitted - change**2 * float(x @ gain)
        self._squares = max(self._squares, 0.0)
        self._mean[row] += gain * change

    def _score(self, situation: Situation) -> tuple[Floats, Floats]:
        """Return the posterior mean and standard deviation of each eligible action's expected reward, shapes (K,)."""
        rows = np.array([self._arms.get(arm, 0) for arm in situation.ids])
        return _scores(self._mean, self._cov, rows, self._columns.matrix(situation), self._noise())

    def _noise(self) -> float:
        """Return the posterior estimate of sigma^2 (inverse-gamma rate over shape)."""
        return (_NOISE_RATE + self._squares / 2) / (_NOISE_SHAPE + self._observed / 2)

    def _make_room(self, situation: Situation, arm: int) -> None:
        before, prior = len(self._columns), self.config.prior_variance
        self._columns.add(situation.context, situation.action(arm))
        new = len(self._columns) - before
        if new:
            self._mean = np.pad(self._mean, ((0, 0), (0, new)))
            self._cov = np.pad(self._cov, ((0, 0), (0, new), (0, new)))
            fresh = np.arange(before, before + new)
            self._cov[:, fresh, fresh] = prior
        if situation.ids[arm] not in self._arms and len(self._arms) < self.config.max_actions:
            self._arms[situation.ids[arm]] = len(self._mean)
            self._mean = np.concatenate([self._mean, self._mean[:1]])
            self._cov = np.concatenate([self._cov, self._cov[:1]])


class LinearTs(_LinearGaussian):
    """Thompson Sampling: each action with the probability that its draw from the posterior is the highest."""

    kind: ClassVar[str] = "linear_ts"
    config_type: ClassVar[type[msgspec.Struct]] = LinearTsConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return the posterior of each action's expected reward; disjoint actions are independent."""
        mean, deviation = self._score(situation)
        if self.config.probabilities == "integral":
            return Gaussian(mean, deviation, self.config.scale)
        noise = frozen().standard_normal((self.config.draws, len(mean)))
        return Draws(mean + deviation * self.config.scale * noise, mean, deviation)


class LinearUcb(_LinearGaussian):
    """Upper confidence bounds: the highest mean plus `alpha` deviations is chosen."""

    kind: ClassVar[str] = "linear_ucb"
    config_type: ClassVar[type[msgspec.Struct]] = LinearUcbConfig

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Score each action by its upper confidence bound."""
        mean, deviation = self._score(situation)
        return Index(mean + self.config.alpha * deviation, mean, deviation)


@compiled
def _scores(mean: Floats, cov: Floats, rows: Arms, x: Floats, noise: float) -> tuple[Floats, Floats]:
    """Return x·theta's posterior mean and standard deviation per action; shapes (A, d), (A, d, d), (K,), (K, d)."""
    count, width = x.shape
    expected, deviation, gain = np.zeros(count), np.zeros(count), np.empty(width)
    for k in range(count):
        _times(cov[rows[k]], x[k], gain)
        variance = 0.0
        for i in range(width):
            expected[k] += mean[rows[k], i] * x[k, i]
            variance += gain[i] * x[k, i]
        deviation[k] = math.sqrt(max(variance, 0.0) * noise)
    return expected, deviation


@compiled
def _update(mean: Floats, cov: Floats, x: Floats, reward: float) -> float:
    """Fold one reward into a regression in place; returns the square that it adds to the noise's sum."""
    gain = np.empty(len(x))
    _times(cov, x, gain)
    spread, error = 1.0, reward
    for i in range(len(x)):
        spread += gain[i] * x[i]
        error -= mean[i] * x[i]
    spread = max(spread, 1.0)
    for i in range(len(x)):
        mean[i] += gain[i] * (error / spread)
        for j in range(len(x)):
            cov[i, j] -= gain[i] * gain[j] / spread
    return error * error / spread


@compiled
def _times(matrix: Floats, x: Floats, product: Floats) -> None:
    """Write a symmetric matrix times x: row by row, which is vectorised without any sum being reordered."""
    product[:] = 0.0
    for i in range(len(x)):
        if x[i] != 0:
            for j in range(len(x)):
                product[j] += x[i] * matrix[i, j]
