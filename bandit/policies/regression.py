"""Bayesian linear regressions, one per action id, with a shared unknown noise: the value model of the linear policies.

Model: reward = x·theta_a + noise, theta_a ~ N(0, sigma^2 prior_variance I), noise ~ N(0, sigma^2), and an
inverse-gamma prior on sigma^2; x is [1, context, action features]. Posterior updates are the rank-one (recursive least
squares) form of the normal-inverse-gamma posterior (Bishop 2006, Pattern Recognition and Machine Learning, eq. 3.50 to
3.54 and exercise 3.12).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.policies.base import Arms, Floats
from bandit.policies.columns import Columns
from bandit.policies.situation import Situation

NOISE_SHAPE = 1.0
NOISE_RATE = 0.25
"""Inverse-gamma prior of sigma^2: one pseudo-observation with the largest variance of a reward in [0, 1]."""

_LARGEST = 1e6
"""A feature counts as no more than this: in a covariance, double precision cannot hold its square beside a 1."""


class Regressions:
    """The regressions: `mean` (M, 1 + A, d), `cov` (M, 1 + A, d, d) in units of the noise, and the noise's sums (M,).

    Row 0 is the prior, which an action that was never learned has; with `shared`, all actions have row 1. There are M
    copies, one per decay. With a decay below 1 each outcome of an action leaves that share of what its regression knew,
    and puts the rest of the prior back in its place (stabilised forgetting, Kulhavy and Zarrop 1993): an action that is
    not tried forgets nothing.
    """

    def __init__(
        self,
        prior_variance: float,
        max_features: int,
        max_actions: int,
        decay: float | Sequence[float] = 1.0,
        *,
        shared: bool = False,
    ) -> None:
        self.prior_variance = prior_variance
        self.max_actions = max_actions
        self._largest = _LARGEST / max(1.0, math.sqrt(prior_variance))
        self.decays: Floats = np.atleast_1d(np.array(decay, dtype=np.float64))
        self.shared = shared
        copies = len(self.decays)
        self.columns = Columns(max_features)
        self.arms: dict[str, int] = {}
        self.mean: Floats = np.zeros((copies, 1, 1))
        self.cov: Floats = np.full((copies, 1, 1, 1), prior_variance)
        self.updates: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self.noise_sums: Floats = np.zeros((2, copies))
        if shared:
            self._add_row()

    def restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take on the state that `header` and `arrays` returned."""
        self.columns.restore(header["columns"])
        self.arms = {arm: row for row, arm in enumerate(header["arms"], start=1)}
        self.mean, self.cov, self.updates = (arrays[name].copy() for name in ("mean", "cov", "updates"))
        self.noise_sums = arrays["noise"].copy()

    def header(self) -> dict[str, list[str]]:
        """Return the names: of the columns, and of the actions in the order of their rows."""
        return {"columns": list(self.columns.index), "arms": list(self.arms)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the numbers."""
        return {"mean": self.mean, "cov": self.cov, "updates": self.updates, "noise": self.noise_sums}

    def scores(self, situation: Situation) -> tuple[Floats, Floats]:
        """Return the posterior mean and standard deviation of each eligible action's expected reward, shapes (K,).

        Of the copies, the first one's.
        """
        weights = np.zeros(len(self.decays))
        weights[0] = 1.0
        mean, variance = self.moments(situation, weights)
        return mean, np.sqrt(variance)

    def moments(self, situation: Situation, weights: Floats) -> tuple[Floats, Floats]:
        """Return the mean and variance of each eligible action's expected reward, (K,), over the copies by weight."""
        x = self.columns.matrix(situation)
        if self.shared:
            return self._shared_moments(_bounded(x, self._largest), weights)
        rows = np.array([self.arms.get(arm, 0) for arm in situation.ids])
        return _moments(self.mean, self.cov, rows, x, self.noise_sums, weights, self._largest)

    def _shared_moments(self, x: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Do the same where all actions have one matrix: a product of matrices, a tenth of the time for a thousand."""
        used = weights > 0
        share = weights[used] / weights[used].sum()
        own = self.mean[used, 1] @ x.T
        within = ((x @ self.cov[used, 1]) * x).sum(axis=-1) * self.noise()[used, None]
        center = share @ own
        return center, share @ (np.maximum(within, 0.0) + (own - center) ** 2)

    def noise(self) -> Floats:
        """Return each copy's posterior estimate of sigma^2 (inverse-gamma rate over shape), shape (M,)."""
        return _noise(self.noise_sums)

    def learn(self, situation: Situation, arm: int, reward: float) -> Floats:
        """Fold in one reward, O(d^2) per copy; returns each copy's log density of it beforehand (less a constant)."""
        self._make_room(situation, arm)
        row = 1 if self.shared else self.arms.get(situation.ids[arm], 0)
        x = _bounded(self.columns.vector(situation.context, situation.action(arm)), self._largest)
        state = (self.mean, self.cov, self.noise_sums, self.updates)
        return _learn(state, row, x, reward, self.decays, self.prior_variance, self.noise())

    def correct(self, situation: Situation, arm: int, reward: float, previous: float) -> None:
        """Replace a learned reward exactly: the precision depends on x alone, the mean is linear in the reward.

        With a decay the change has the weight of an outcome that is learned now.
        """
        row = 1 if self.shared else self.arms.get(situation.ids[arm], 0)
        if row == 0:
            return
        x = _bounded(self.columns.vector(situation.context, situation.action(arm)), self._largest)
        change = reward - previous
        gain = self.cov[:, row] @ x
        fitted = self.mean[:, row] @ x
        squares = self.noise_sums[1] + reward**2 - previous**2 - 2 * change * fitted - change**2 * (gain @ x)
        self.noise_sums[1] = np.maximum(squares, 0.0)
        self.mean[:, row] += gain * change

    def _make_room(self, situation: Situation, arm: int) -> None:
        before, copies = len(self.columns), len(self.decays)
        self.columns.add(situation.context, situation.action(arm))
        new = len(self.columns) - before
        if new:
            self.mean = np.pad(self.mean, ((0, 0), (0, 0), (0, new)))
            self.cov = np.pad(self.cov, ((0, 0), (0, 0), (0, new), (0, new)))
            fresh = np.arange(before, before + new)
            self.cov[:, :, fresh, fresh] = np.full((copies, 1, 1), self.prior_variance)
        name = situation.ids[arm]
        if not self.shared and name not in self.arms and len(self.arms) < self.max_actions:
            self.arms[name] = self.mean.shape[1]
            self._add_row()

    def _add_row(self) -> None:
        self.mean = np.concatenate([self.mean, self.mean[:, :1]], axis=1)
        self.cov = np.concatenate([self.cov, self.cov[:, :1]], axis=1)
        self.updates = np.append(self.updates, 0)


@compiled
def _bounded(x: Floats, largest: float) -> Floats:
    return np.minimum(np.maximum(x, -largest), largest)


@compiled
def _noise(sums: Floats) -> Floats:
    return np.asarray((NOISE_RATE + sums[1] / 2) / (NOISE_SHAPE + sums[0] / 2))


@compiled
def _moments(
    mean: Floats, cov: Floats, rows: Arms, x: Floats, noise_sums: Floats, weights: Floats, largest: float
) -> tuple[Floats, Floats]:
    """Return the mixture's mean and variance per action; copies of weight 0 are left out."""
    x, noise = _bounded(x, largest), _noise(noise_sums)
    count, width = x.shape
    center, variance, gain, own = np.zeros(count), np.zeros(count), np.empty(width), np.zeros((len(weights), count))
    share = weights / weights.sum()
    for m in range(len(weights)):
        for k in range(count if share[m] > 0 else 0):
            _times(cov[m, rows[k]], x[k], gain)
            within = 0.0
            for i in range(width):
                own[m, k] += mean[m, rows[k], i] * x[k, i]
                within += gain[i] * x[k, i]
            center[k] += share[m] * own[m, k]
            variance[k] += share[m] * max(within, 0.0) * noise[m]
    # The variance of a mixture: within and between. Summing squares instead would cancel where means are large.
    for m in range(len(weights)):
        variance += share[m] * (own[m] - center) ** 2
    return center, variance


@compiled
def _learn(
    state: tuple[Floats, Floats, Floats, NDArray[np.int64]],
    row: int,
    x: Floats,
    reward: float,
    decays: Floats,
    prior_variance: float,
    noise: Floats,
) -> Floats:
    """Fold one reward into row `row` of every copy in place, unless that is the prior's."""
    mean, cov, noise_sums, updates = state
    densities = np.zeros(len(decays))
    for m in range(len(decays)):
        if decays[m] < 1 and row > 0:
            _forget(mean[m, row], cov[m, row], decays[m], prior_variance, updates[row])
        error, spread, gain = _predict(mean[m, row], cov[m, row], x, reward)
        densities[m] = -(math.log(noise[m] * spread) + error**2 / (noise[m] * spread)) / 2
        if row > 0:
            _update(mean[m, row], cov[m, row], gain, error, spread)
            noise_sums[0, m] = decays[m] * noise_sums[0, m] + 1
            noise_sums[1, m] = decays[m] * noise_sums[1, m] + error**2 / spread
    if row > 0:
        updates[row] += 1
    return densities


@compiled
def _predict(mean: Floats, cov: Floats, x: Floats, reward: float) -> tuple[float, float, Floats]:
    """Return the error of the prediction, its variance in units of the noise, and cov x."""
    gain = np.empty(len(x))
    _times(cov, x, gain)
    error, spread = reward, 1.0
    for i in range(len(x)):
        error -= mean[i] * x[i]
        spread += gain[i] * x[i]
    return error, max(spread, 1.0), gain


@compiled
def _update(mean: Floats, cov: Floats, gain: Floats, error: float, spread: float) -> None:
    root = gain / math.sqrt(spread)  # its outer product is symmetric to the bit, and needs no division
    for i in range(len(mean)):
        mean[i] += gain[i] * (error / spread)
        for j in range(len(mean)):
            cov[i, j] -= root[i] * root[j]


@compiled
def _forget(mean: Floats, cov: Floats, decay: float, prior_variance: float, updates: int) -> None:
    """Leave `decay` of the precision, and give 1 - decay of the prior's back, in place, O(d^2).

    The prior comes back one coordinate at a time, in turn, as an observation that it is 0: a coordinate's turn comes
    every d outcomes and brings what d outcomes took. Where that is more than the whole prior, several take their turn.
    """
    width = len(mean)
    turns = math.ceil(width * (1 - decay))
    weight = (1 - decay) / prior_variance * width / turns
    cov *= 1 / decay
    for turn in range(turns):
        i = (updates * turns + turn) % width
        gain = cov[i].copy()
        _update(mean, cov, gain, -mean[i], 1 / weight + gain[i])


@compiled
def _times(matrix: Floats, x: Floats, product: Floats) -> None:
    """Write a symmetric matrix times x: row by row, which is vectorised without any sum being reordered."""
    product[:] = 0.0
    for i in range(len(x)):
        if x[i] != 0:
            for j in range(len(x)):
                product[j] += x[i] * matrix[i, j]
