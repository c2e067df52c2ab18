"""The empirical Bernstein bound: true at any number of rows, for values of a declared range; for one look at a log."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ope.intervals.ask import ROUNDING

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """How many values there are, their mean, and the sum of squares around it; `a + b` is the state of both logs."""

    n: int = 0
    mean: float = 0.0
    scatter: float = 0.0

    @staticmethod
    def of(values: Floats) -> "Moments":
        """Return the moments of values of shape (n,)."""
        if not values.size:
            return Moments()
        mean = float(values.mean())
        return Moments(values.size, mean, float(((values - mean) ** 2).sum()))

    def fold(self, values: Floats) -> "Moments":
        """Return the state after more values, in any order."""
        return self + Moments.of(values)

    def __add__(self, other: "Moments") -> "Moments":
        """Merge two logs (Chan, Golub and LeVeque 1983, eq. 2.1)."""
        n = self.n + other.n
        if not n:
            return self
        step = other.mean - self.mean
        return Moments(n, self.mean + step * other.n / n, self.scatter + other.scatter + step**2 * self.n * other.n / n)

    def lower(self, alpha: float, *, span: float) -> float:
        """Return the bound that is above the mean of independent values with a probability of at most `alpha`.

        x̄ - √(2 s² ln(2/α)/n) - 7 B ln(2/α)/(3 (n - 1)) with B = `span`, the width of the interval that holds every
        value there can be (Maurer and Pontil 2009, theorem 4). Minus infinity for fewer than two values.
        """
        if self.n < 2:
            return -math.inf
        log = math.log(2 / alpha)
        variance = self.scatter / (self.n - 1)
        return self.mean - math.sqrt(2 * variance * log / self.n) - 7 * span * log / (3 * (self.n - 1))


@dataclass(frozen=True, slots=True)
class Bounded:
    """Moments of values that lie in an interval from 0 of declared width, as a bound like the others."""

    span: float
    moments: Moments = Moments()

    def fold(self, values: Floats) -> "Bounded":
        """Return the state after more values; raises ValueError for one that the declaration rules out."""
        if values.size and (values.min() < 0 or values.max() > self.span * (1 + ROUNDING)):
            raise ValueError(f"a value is outside [0, {self.span:g}], where all were declared to be.")
        return Bounded(self.span, self.moments.fold(values))

    def lower(self, alpha: float) -> float:
        """Return the bound on the mean, at least 0."""
        return max(0.0, self.moments.lower(alpha, span=self.span))
