"""A Bayesian linear regression on hashed features with a diagonal precision, for more features than a matrix can hold.

One table of 2^bits coefficients for all actions; a feature's place is a hash of its name and of the action's id
(Weinberger et al. 2009), so that memory does not grow with features or actions. The posterior keeps the precision's
diagonal alone (assumed-density filtering; Chapelle and Li 2011, algorithm 3, for a Gaussian likelihood).
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.policies.base import AGAIN, NEWEST, Entry, Floats
from bandit.policies.columns import INTERCEPT
from bandit.policies.regression import NOISE_RATE, NOISE_SHAPE
from bandit.policies.situation import Situation

_REMEMBERED = 100_000
"""Names whose hash is remembered."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplying by it spreads neighbouring numbers (Knuth, section 6.4)."""

Places: TypeAlias = NDArray[np.int64]
Hashed: TypeAlias = tuple[NDArray[np.uint64], Floats]


class HashedRegression:
    """Coefficients: `mean` (M, 2^bits) and `precision` (M, 2^bits) in units of the noise, and the noise's sums (2, M).

    One copy per decay, as in `Regressions`; a coefficient forgets when it is used.
    """

    def __init__(self, prior_variance: float, bits: int, decay: Sequence[float]) -> None:
        self.prior_variance = prior_variance
        self.decays: Floats = np.array(decay, dtype=np.float64)
        self.mask = np.uint64((1 << bits) - 1)
        self.mean: Floats = np.zeros((len(self.decays), 1 << bits))
        self.precision: Floats = np.full_like(self.mean, 1 / prior_variance)
        self.noise_sums: Floats = np.zeros((2, len(self.decays)))
        self._hashes: dict[str, int] = {}

    def restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:  # noqa: ARG002  # no names
        """Take on the state that `arrays` returned."""
        used = arrays["places"]
        self.mean[:], self.precision[:] = 0.0, 1 / self.prior_variance
        self.mean[:, used], self.precision[:, used] = arrays["mean"], arrays["precision"]
        self.noise_sums = arrays["noise"].copy()

    def header(self) -> dict[str, list[Any]]:
        """Return no names: a hash has none."""
        return {}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the coefficients that were ever learned, with their places."""
        used = np.nonzero(((self.precision != 1 / self.prior_variance) | (self.mean != 0)).any(axis=0))[0]
        return {
            "places": used,
            "mean": self.mean[:, used],
            "precision": self.precision[:, used],
            "noise": self.noise_sums,
        }

    def moments(self, situation: Situation, weights: Floats) -> tuple[Floats, Floats]:
        """Return the mean and variance of each eligible action's expected reward, (K,), over the copies by weight."""
        shared = self._shared(situation)
        pairs = [self._encode(shared, situation, arm) for arm in range(len(situation.ids))]
        edges = np.cumsum([0] + [len(places) for places, _ in pairs])
        places, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return _moments(self.mean, self.precision, places, values, edges, self.noise(), weights)

    def noise(self) -> Floats:
        """Return each copy's posterior estimate of sigma^2, shape (M,)."""
        observed, squares = self.noise_sums
        return np.asarray((NOISE_RATE + squares / 2) / (NOISE_SHAPE + observed / 2))

    def learn(self, situation: Situation, arm: int, reward: float, entry: Entry = NEWEST) -> Floats:  # noqa: ARG002  # no ages
        """Fold in one reward, O(features); returns each copy's log density of it beforehand (less a constant)."""
        places, values = self._encode(self._shared(situation), situation, arm)
        state = (self.mean, self.precision, self.noise_sums)
        return _learn(state, places, values, reward, self.decays, 1 / self.prior_variance, self.noise())

    def correct(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        previous: float,
        entry: Entry = AGAIN,  # noqa: ARG002  # no ages
    ) -> Floats:
        """Move the coefficients as the changed reward would have moved them; approximate, as the diagonal is.

        Returns 0 for each copy: how likely the reward was without having been learned is not known here.
        """
        places, values = self._encode(self._shared(situation), situation, arm)
        step = values / self.precision[:, places]
        self.mean[:, places] += step * ((reward - previous) / (1 + step @ values))[:, None]
        return np.zeros(len(self.decays))

    def _shared(self, situation: Situation) -> Hashed:
        """Return the hashes and values of what all actions have: the constant and the context."""
        names = [self._hash(INTERCEPT), *map(self._hash, situation.context)]
        return np.array(names, dtype=np.uint64), np.array([1.0, *situation.context.values()])

    def _encode(self, shared: Hashed, situation: Situation, arm: int) -> tuple[Places, Floats]:
        """Return the places (n,) and values (n,) of an action's features; some may share a place."""
        hashes, values = shared
        own = situation.action(arm)
        if own:
            hashes = np.concatenate([hashes, np.array([self._hash(name) for name in own], dtype=np.uint64)])
            values = np.concatenate([values, np.array(list(own.values()), dtype=np.float64)])
        mixed = (hashes ^ np.uint64(self._hash(f"id={situation.ids[arm]}"))) * _SPREAD
        return ((mixed >> np.uint64(32)) & self.mask).astype(np.int64), values

    def _hash(self, name: str) -> int:
        known = self._hashes.get(name)
        if known is None:
            if len(self._hashes) >= _REMEMBERED:
                self._hashes.clear()
            known = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
            self._hashes[name] = known
        return known


@compiled
def _moments(
    mean: Floats,
    precision: Floats,
    places: Places,
    values: Floats,
    edges: Places,
    noise: Floats,
    weights: Floats,
) -> tuple[Floats, Floats]:
    """Return the mixture's mean and variance per action, whose features stand between two edges."""
    count, share = len(edges) - 1, weights / weights.sum()
    center, variance, own = np.zeros(count), np.zeros(count), np.zeros((len(weights), count))
    for m in range(len(weights)):
        for k in range(count if share[m] > 0 else 0):
            within = 0.0
            for i in range(edges[k], edges[k + 1]):
                own[m, k] += mean[m, places[i]] * values[i]
                within += values[i] ** 2 / precision[m, places[i]]
            center[k] += share[m] * own[m, k]
            variance[k] += share[m] * within * noise[m]
    for m in range(len(weights)):
        variance += share[m] * (own[m] - center) ** 2
    return center, variance


@compiled
def _learn(
    state: tuple[Floats, Floats, Floats],
    places: Places,
    values: Floats,
    reward: float,
    decays: Floats,
    prior: float,
    noise: Floats,
) -> Floats:
    """Fold one reward into every copy in place."""
    mean, precision, noise_sums = state
    densities = np.zeros(len(decays))
    for m in range(len(decays)):
        error, spread = reward, 1.0
        for i in range(len(places)):
            p = places[i]
            if decays[m] < 1:
                # The prior's share pulls the coefficient to 0 as it comes back.
                left = decays[m] * precision[m, p]
                precision[m, p] = left + (1 - decays[m]) * prior
                mean[m, p] *= left / precision[m, p]
            error -= mean[m, p] * values[i]
            spread += values[i] ** 2 / precision[m, p]
        densities[m] = -(math.log(noise[m] * spread) + error**2 / (noise[m] * spread)) / 2
        for i in range(len(places)):
            mean[m, places[i]] += values[i] / precision[m, places[i]] * (error / spread)
            precision[m, places[i]] += values[i] ** 2
        noise_sums[0, m] = decays[m] * noise_sums[0, m] + 1
        noise_sums[1, m] = decays[m] * noise_sums[1, m] + error**2 / spread
    return densities
