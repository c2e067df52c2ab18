"""How a gate's evidence is expected to grow with further decisions, if they are as those before."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from ope.intervals.betting import AIM, HALF, Betting
from ope.intervals.mixture import Mixture

Floats = npt.NDArray[np.float64]
Moments = Callable[[Floats], tuple[Floats, Floats]]
FURTHEST = 1e12
"""Decisions beyond which nobody waits."""
ONE_BY_ONE, STEPS = 1000, 4000


@dataclass(frozen=True, slots=True)
class Values:
    """The outcomes of a lift as far as the evidence knows them: their mean, variance, and the mean that is tested."""

    mean: float
    variance: float
    tested: float

    def moments(self, bets: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance of what a row adds to the evidence, to the second order in the bets."""
        off = self.mean - self.tested
        return bets * off - bets**2 * (self.variance + off * off) / 2, bets**2 * self.variance


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """The evidence of `betting` from one number of decisions on: `at`, with its mean and standard deviation there."""

    at: Floats
    mean: Floats
    deviation: Floats

    def passes(self, needed: float, chance: float) -> float | None:
        """Return after how many decisions the evidence is at least `needed` with such a chance; None if never."""
        reached = ndtr((self.mean - needed) / np.maximum(self.deviation, 1e-300)) >= chance
        # The evidence falls before it rises: what counts is from where on it stays.
        if not reached[-1]:
            return None
        first = len(reached) - int(np.argmin(reached[::-1])) if not reached.all() else 0
        return float(self.at[first])


def betting_path(values: Values, moments: Moments, *, start: int = 0, evidence: float = 0.0) -> Path:
    """Return how evidence is expected to grow from what it is after `start` decisions.

    The bets are those of `Betting` where the variance so far is what it is expected to be.
    """
    at = _times(start)
    rows = np.diff(np.concatenate(([start], at)))
    middle = at - (rows - 1) / 2
    bets = np.sqrt(2 * math.log(1 / AIM) / ((0.25 + values.variance * (middle - 1)) * np.log1p(middle)))
    mean, variance = moments(np.minimum(bets, HALF / values.tested))
    return Path(at, evidence + np.cumsum(rows * mean), np.sqrt(np.cumsum(rows * variance)))


def expected_total(state: Betting | Mixture, tested: float, evidence: float, needed: float) -> float | None:
    """Return after how many decisions in all the evidence is expected to suffice; None if that is not to be expected.

    The rows to come have the mean and the variance of those that were folded.
    """
    if not state.n or state.total / state.n <= tested:
        return None
    values = Values(state.total / state.n, state.scatter / state.n, tested)
    if isinstance(state, Betting):
        return betting_path(values, values.moments, start=state.n, evidence=evidence).passes(needed, 0.5)
    return mixture_needs(values, needed, chance=0.5, least=state.n)


def mixture_needs(values: Values, needed: float, *, chance: float, least: int = 1) -> float | None:
    """Return after how many decisions a mixture's evidence is at least `needed` with such a chance; None if never.

    The sum of the outcomes is normal around what is expected of it.
    """
    behind = -float(ndtri(chance))

    def suffices(n: float) -> bool:
        total = n * values.mean + behind * math.sqrt(n * values.variance)
        state = Mixture(round(n), total, n * values.variance)
        return total > n * values.tested and state.log_evidence(values.tested) >= needed

    if not suffices(FURTHEST):
        return None
    low, high = math.log(least), math.log(FURTHEST)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _times(start: int) -> Floats:
    near = np.arange(start + 1, start + ONE_BY_ONE + 1, dtype=float)
    far = np.unique(np.rint(np.geomspace(near[-1], max(FURTHEST, 10 * near[-1]), STEPS)))
    return np.concatenate([near, far[1:]])
