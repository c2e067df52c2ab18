"""The empirical-Bernstein mixture: a lower bound on a mean that holds at every look, in a state of three numbers."""

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import gammainc, gammaln

Floats = npt.NDArray[np.float64]

RHO = 1.0
"""Of the mixing distribution; fixed before any data. The bound is tightest where `scatter` is about this large times a
few, and gives little away elsewhere."""
PRIOR_MEAN = 0.5
LARGEST = 1e9
"""Values are cut here, so that sums of squares keep their digits: a lower bound on less is one on the values too."""
MANY = 1e3


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a lower confidence sequence keeps of values of at least 0 whose mean is at most 1.

    Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022, Anytime-valid off-policy inference for contextual
    bandits, theorem 2 with k = 0: with values w r, r in [0, 1], it bounds the target's mean reward from below, however
    large the weights may be. Valid at all times at once, for rewards that depend on the past and policies that learned
    from it; what is bounded is the average of the values' conditional means so far.

    `scatter` sums the squares of each value less what was expected of it from those before. It is a fold in decision
    order, because that expectation is: two states are no state of both logs.
    """

    n: int = 0
    total: float = 0.0
    scatter: float = 0.0

    def fold(self, values: Floats) -> "Mixture":
        """Return the state after more values, shape (m,), in their order; to the bit the same however they are cut."""
        if not values.size:
            return self
        values = np.minimum(values, LARGEST)
        before = np.cumsum(np.concatenate(([self.total], values)))
        seen = self.n + np.arange(1, values.size + 1)
        expected = np.minimum((PRIOR_MEAN + before[:-1]) / seen, 1.0)
        scatter = np.cumsum(np.concatenate(([self.scatter], (values - expected) ** 2)))[-1]
        return Mixture(self.n + values.size, float(before[-1]), float(scatter))

    def lower(self, alpha: float) -> float:
        """Return the bound that is ever above the mean with a probability of at most `alpha`."""
        goal = -math.log(alpha)
        if not self.n or self.log_evidence(0.0) <= goal:
            return 0.0
        # Where the mean is as observed there is no evidence against it, and less against a larger one.
        found: float = brentq(lambda mean: self.log_evidence(mean) - goal, 0.0, self.total / self.n, xtol=1e-12)
        return min(found, 1.0)

    def log_evidence(self, mean: float) -> float:
        """Return the logarithm of the evidence that the true mean is above `mean`, which is at most total / n.

        A nonnegative supermartingale that starts at 1 if it is not: the mixture over bets in (0, 1), in closed form
        with 1F1(1, a + 1, z) = a z^-a e^z gamma(a, z), the lower incomplete gamma function.
        """
        a = self.scatter + RHO
        surplus = self.total - self.n * mean
        start = RHO * math.log(RHO) - RHO - float(gammaln(RHO)) - math.log(gammainc(RHO, RHO))
        return start + _rise(a, surplus) + math.log(gammainc(a, a + surplus))

    def __add__(self, other: object) -> NoReturn:
        """Refuse: read the logs one after the other."""
        raise TypeError("a confidence sequence is a fold in decision order; fold the second log's rows instead")


def _rise(a: float, surplus: float) -> float:
    """Return z - a ln z + ln Γ(a) with z = a + surplus, surplus >= 0.

    The terms are as large as a ln a, and a weight of 1e8 makes a 1e16: summed as they stand, their rounding would be
    evidence of its own. By Stirling's series what is large cancels before anything is rounded.
    """
    if a < MANY:
        z = a + surplus
        return z - a * math.log(z) + float(gammaln(a))
    u = surplus / a
    small = u * u * (1 / 2 - u * (1 / 3 - u * (1 / 4 - u / 5)))
    stirling = math.log(2 * math.pi / a) / 2 + 1 / (12 * a) - 1 / (360 * a) / a / a
    return a * (small if u < 1e-3 else u - math.log1p(u)) + stirling
