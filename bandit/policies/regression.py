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
from bandit.policies.ages import Ages
from bandit.policies.base import AGAIN, NEWEST, Arms, Entry, Floats
from bandit.policies.columns import Columns
from bandit.policies.crossing import Crossed
from bandit.policies.situation import Situation

NOISE_SHAPE = 1.0
NOISE_RATE = 0.25
"""Inverse-gamma prior of sigma^2: one pseudo-observation with the largest variance of a reward in [0, 1]."""

_LARGEST = 1e6
"""A feature counts as no more than this: in a covariance, double precision cannot hold its square beside a 1."""


class Regressions:
    """The regressions: `mean` (M, 1 + A, d), `cov` (M, 1 + A, d, d) in units of the noise, and the noise's sums.

    Row 0 is the prior, which an action that was never learned has; with `shared`, all actions have row 1. There are M
    copies, one per decay. With a decay below 1 each outcome of an action leaves that share of what its regression knew,
    and puts the rest of the prior back in its place (stabilised forgetting, Kulhavy and Zarrop 1993): an action that is
    not tried forgets nothing.

    `noise_sums` (2, M, 1 + A) holds each row's weight of outcomes and its loss, y'Wy - mean' precision mean: what the
    outcomes and the prior have left to the noise. It is a quadratic form of the rewards, so that a late correction of
    one reward is exact whatever was learned since.
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
        self.noise_sums: Floats = np.zeros((2, copies, 1))
        self._totals: Floats = np.zeros((2, copies))
        self._ages = Ages(self.decays)
        if shared:
            self._add_row()

    def restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take on the state that `header` and `arrays` returned."""
        self.columns.restore(header["columns"])
        self.arms = {arm: row for row, arm in enumerate(header["arms"], start=1)}
        self.mean, self.cov, self.updates = (arrays[name].copy() for name in ("mean", "cov", "updates"))
        self.noise_sums = arrays["noise"].copy()
        self._totals = self.noise_sums.sum(axis=2)
        self._ages.restore(arrays)

    def header(self) -> dict[str, list[Any]]:
        """Return the names: of the columns, and of the actions in the order of their rows."""
        return {"columns": list(self.columns.index), "arms": list(self.arms)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the numbers."""
        numbers = {"mean": self.mean, "cov": self.cov, "updates": self.updates, "noise": self.noise_sums}
        return {**numbers, **self._ages.arrays()}

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
        if isinstance(situation, Crossed) and self.shared:
            found = self._crossed_moments(situation, weights)
            if found:
                return found
        x = self.columns.matrix(situation)
        if self.shared:
            return self._shared_moments(_bounded(x, self._largest), weights)
        rows = np.array([self.arms.get(arm, 0) for arm in situation.ids])
        return _moments(self.mean, self.cov, rows, x, self._totals, weights, self._largest)

    def _shared_moments(self, x: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Do the same where all actions have one matrix: a product of matrices, a tenth of the time for a thousand."""
        used = weights > 0
        share = weights[used] / weights[used].sum()
        own = self.mean[used, 1] @ x.T
        within = ((x @ self.cov[used, 1]) * x).sum(axis=-1) * self.noise()[used, None]
        center = share @ own
        return center, share @ (np.maximum(within, 0.0) + (own - center) ** 2)

    def _crossed_moments(self, situation: Crossed, weights: Floats) -> tuple[Floats, Floats] | None:
        """Do the same from the factors of the products; None where a product is too large to count in full."""
        own, factors = situation.own[1], situation.factors
        if not _counts_in_full(own, factors, self._largest):
            return None
        terms = self.columns.crossed(situation)
        return _crossed_moments(self.mean, self.cov, terms, own, factors, self._totals, weights)

    def noise(self) -> Floats:
        """Return each copy's posterior estimate of sigma^2 (inverse-gamma rate over shape), shape (M,)."""
        return _noise(self._totals)

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float | Floats,
        entry: Entry = NEWEST,
        times: NDArray[np.int64] | None = None,
    ) -> Floats:
        """Fold in one reward, O(d^2) per copy; returns each copy's log density of it beforehand (less a constant).

        `reward` may be one per copy, shape (M,), and `times` how often each copy learns it, shape (M,).
        """
        self._make_room(situation, arm)
        row = self._row(situation.ids[arm])
        x = _bounded(self.columns.vector(situation.context, situation.action(arm)), self._largest)
        copies = len(self.decays)
        rewards = np.full(copies, reward) if isinstance(reward, float) else reward
        state = (self.mean, self.cov, self.noise_sums, self.updates)
        often = np.ones(copies, np.int64) if times is None else times
        densities = _learn(state, row, x, rewards, often, self.decays, self.prior_variance, self.noise())
        if row > 0:
            self._ages.add(row, entry.step)
            self._totals = self.noise_sums.sum(axis=2)
        return densities

    def correct(
        self, situation: Situation, arm: int, reward: float | Floats, previous: float | Floats, entry: Entry = AGAIN
    ) -> Floats:
        """Replace a learned reward exactly; returns each copy's log density of it as if it had not been learned.

        The precision depends on x alone, and precision times mean is linear in the rewards: x (reward - previous) is
        added, times what forgetting left of the outcome (Ljung 1999, System Identification, section 11.2).
        """
        row = self._row(situation.ids[arm])
        if row == 0:
            return np.zeros(len(self.decays))
        x = _bounded(self.columns.vector(situation.context, situation.action(arm)), self._largest)
        left = self._ages.weights(row, entry.step)
        gain = self.cov[:, row] @ x
        spread = gain @ x
        change = left * (reward - previous)
        fitted = self.mean[:, row] @ x
        loss = self.noise_sums[1, :, row] + left * (reward**2 - previous**2) - 2 * change * fitted - change**2 * spread
        self.noise_sums[1, :, row] = np.maximum(loss, 0.0)
        self.mean[:, row] += gain * change[:, None]
        self._totals = self.noise_sums.sum(axis=2)
        return self._density_without(reward - self.mean[:, row] @ x, spread, left)

    def _density_without(self, error: Floats, spread: Floats, left: Floats) -> Floats:
        """Return the log density of a learned reward as if it had not been learned, shape (M,).

        `error` and `spread` (x' cov x) are what is left of it by the fit, `left` is the outcome's weight in the fit.
        Downdating: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, eq. 7.64, weighted.
        """
        free = np.maximum(1 - left * spread, 1e-12)
        missed = error / free
        weights, losses = self._totals
        noise = _noise(np.stack([weights - left, np.maximum(losses - left * missed**2 * free, 0.0)]))
        variance = noise * (1 + np.maximum(spread, 0.0) / free)
        return np.asarray(-(np.log(variance) + missed**2 / variance) / 2)

    def centers(self, situation: Situation) -> Floats:
        """Return each copy's predicted rewards of the eligible actions, shape (M, K); not for `shared` regressions."""
        x = _bounded(self.columns.matrix(situation), self._largest)
        rows = np.array([self.arms.get(arm, 0) for arm in situation.ids])
        return _centers(self.mean, rows, x)

    def _row(self, action: str) -> int:
        return 1 if self.shared else self.arms.get(action, 0)

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
        self.noise_sums = np.concatenate([self.noise_sums, self.noise_sums[:, :, :1]], axis=2)
        self.updates = np.append(self.updates, 0)


@compiled
def _bounded(x: Floats, largest: float) -> Floats:
    return np.minimum(np.maximum(x, -largest), largest)


@compiled
def _noise(sums: Floats) -> Floats:
    return np.asarray((NOISE_RATE + sums[1] / 2) / (NOISE_SHAPE + sums[0] / 2))


@compiled
def _moments(
    mean: Floats, cov: Floats, rows: Arms, x: Floats, totals: Floats, weights: Floats, largest: float
) -> tuple[Floats, Floats]:
    """Return the mixture's mean and variance per action; copies of weight 0 are left out."""
    x, noise = _bounded(x, largest), _noise(totals)
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
def _counts_in_full(own: Floats, factors: Floats, largest: float) -> bool:
    factor = max(1.0, np.abs(factors).max()) if len(factors) else 1.0
    return bool((np.abs(own) <= largest / factor).all())


@compiled
def _crossed_moments(
    mean: Floats, cov: Floats, terms: Arms, own: Floats, factors: Floats, totals: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Return the mixture's mean and variance per action, all of row 1, from the `terms` that its vector is the sum of.

    A vector is linear in its action's own features, and the context is the same for all of them: it is multiplied into
    the covariance once, which leaves a matrix of their size. With F of them and C of the context, 1 + F of the d
    columns' dimensions, d being about F C, and K actions, that is d^2 + K F^2 steps instead of K d^2.
    """
    noise, share = _noise(totals), weights / weights.sum()
    width, count = 1 + own.shape[1], len(own)
    by_copy, variance = np.zeros((len(weights), count)), np.zeros(count)
    reach, inner, outer = np.empty((width, mean.shape[2])), np.empty((width, width)), np.empty(width)
    for m in range(len(weights)):
        if share[m] > 0:
            _contract(mean[m, 1], cov[m, 1], terms, factors, reach, inner, outer)
            for k in range(count):
                within = inner[0, 0]
                by_copy[m, k] = outer[0]
                for i in range(1, width):
                    x, product = own[k, i - 1], 2 * inner[i, 0]
                    by_copy[m, k] += outer[i] * x
                    for j in range(1, width):
                        product += inner[i, j] * own[k, j - 1]
                    within += product * x
                variance[k] += share[m] * max(within, 0.0) * noise[m]
    center = np.zeros(count)
    for m in range(len(weights)):
        center += share[m] * by_copy[m]
    for m in range(len(weights)):
        variance += share[m] * (by_copy[m] - center) ** 2
    return center, variance


@compiled
def _contract(
    mean: Floats, cov: Floats, terms: Arms, factors: Floats, reach: Floats, inner: Floats, outer: Floats
) -> None:
    """Write what is left of the mean (`outer`) and the covariance (`inner`) once the context is multiplied in."""
    reach[:], inner[:], outer[:] = 0.0, 0.0, 0.0
    for t in range(terms.shape[1]):
        i, column = terms[0, t], terms[2, t]
        factor = factors[terms[1, t] - 1] if terms[1, t] > 0 else 1.0
        if factor != 0:
            outer[i] += factor * mean[column]
            for c in range(len(mean)):
                reach[i, c] += factor * cov[column, c]
    for t in range(terms.shape[1]):
        i, column = terms[0, t], terms[2, t]
        factor = factors[terms[1, t] - 1] if terms[1, t] > 0 else 1.0
        for j in range(len(outer)):
            inner[j, i] += factor * reach[j, column]


@compiled
def _learn(
    state: tuple[Floats, Floats, Floats, NDArray[np.int64]],
    row: int,
    x: Floats,
    rewards: Floats,
    times: NDArray[np.int64],
    decays: Floats,
    prior_variance: float,
    noise: Floats,
) -> Floats:
    """Fold each copy's reward into its row `row` in place, as often as it says, unless that is the prior's row."""
    mean, cov, noise_sums, updates = state
    densities = np.zeros(len(decays))
    for m in range(len(decays)):
        if decays[m] < 1 and row > 0:
            pulled = _forget(mean[m, row], cov[m, row], decays[m], prior_variance, updates[row])
            noise_sums[0, m, row] *= decays[m]
            noise_sums[1, m, row] = decays[m] * noise_sums[1, m, row] + pulled
        for time in range(max(times[m], 1)):
            error, spread, gain = _predict(mean[m, row], cov[m, row], x, rewards[m])
            if time == 0:
                densities[m] = -(math.log(noise[m] * spread) + error**2 / (noise[m] * spread)) / 2
            if row > 0 and times[m] > 0:
                _update(mean[m, row], cov[m, row], gain, error, spread)
                noise_sums[0, m, row] += 1
                noise_sums[1, m, row] += error**2 / spread
    if row > 0:
        updates[row] += 1
    return densities


@compiled
def _centers(mean: Floats, rows: Arms, x: Floats) -> Floats:
    center = np.zeros((len(mean), len(x)))
    for m in range(len(mean)):
        for k in range(len(x)):
            for i in range(x.shape[1]):
                center[m, k] += mean[m, rows[k], i] * x[k, i]
    return center


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
def _forget(mean: Floats, cov: Floats, decay: float, prior_variance: float, updates: int) -> float:
    """Leave `decay` of the precision, and give 1 - decay of the prior's back, in place, O(d^2); returns the loss of it.

    The prior comes back one coordinate at a time, in turn, as an observation that it is 0: a coordinate's turn comes
    every d outcomes and brings what d outcomes took. Where that is more than the whole prior, several take their turn.
    """
    width = len(mean)
    turns = math.ceil(width * (1 - decay))
    weight = (1 - decay) / prior_variance * width / turns
    cov *= 1 / decay
    loss = 0.0
    for turn in range(turns):
        i = (updates * turns + turn) % width
        gain, error, spread = cov[i].copy(), -mean[i], 1 / weight + cov[i, i]
        loss += error**2 / spread
        _update(mean, cov, gain, error, spread)
    return loss


@compiled
def _times(matrix: Floats, x: Floats, product: Floats) -> None:
    """Write a symmetric matrix times x: row by row, which is vectorised without any sum being reordered."""
    product[:] = 0.0
    for i in range(len(x)):
        if x[i] != 0:
            for j in range(len(x)):
                product[j] += x[i] * matrix[i, j]
