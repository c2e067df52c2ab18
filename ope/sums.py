"""The mergeable O(1) state of the closed-form estimators; knows no file, engine or policy.

Of each row (w = p_target/p_log, pivot c) four terms are summed, with their products:

    w                    the importance weight
    y = w (r − c)        the weighted reward, counted from the pivot
    d = q_target − c     the predicted reward of the target
    z = w (r − q_logged) the weighted residual

Every IPS, self-normalised, direct and doubly robust estimator is a smooth function of their means,
and its standard error follows from their scatter by the delta method.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
TERMS = ("w", "y", "d", "z")


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Means and scatter of the row terms; `a + b` is the state of both logs together.

    `mean` has shape (4,) and `scatter`, the centred sums of products, shape (4, 4), both in the
    order of TERMS; what is not in `terms` is 0 there and means nothing. `max_weight` is the largest
    w; `off_support` the summed mass of the target that the logger could not play, or None where the
    log does not say.

    Precision: the pivot keeps an offset of the rewards, of any size, out of the variances. Plain sums
    of squares are the case pivot = 0 and lose every digit once the offset is 1e8 times the spread.
    """

    n: int
    pivot: float
    mean: Array
    scatter: Array
    max_weight: float
    off_support: float | None
    terms: frozenset[str]

    @np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
    def __add__(self, other: "Sums") -> "Sums":
        """Merge two logs (Chan, Golub and LeVeque 1983, eq. 2.1, for a vector)."""
        other = other.from_pivot(self.pivot)
        n = self.n + other.n
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.n * other.n / n)
        return Sums(
            n=n,
            pivot=self.pivot,
            mean=self.mean + step * (other.n / n),
            scatter=self.scatter + other.scatter + between,
            max_weight=max(self.max_weight, other.max_weight),
            off_support=_both(self.off_support, other.off_support),
            terms=self.terms & other.terms,
        )

    @np.errstate(all="ignore")
    def from_pivot(self, pivot: float) -> "Sums":
        """Return the same state with rewards counted from another pivot."""
        shift = self.pivot - pivot
        turn = np.eye(len(TERMS))
        turn[1, 0] = shift  # y = w (r − c) gains w for each unit that c falls
        return Sums(
            n=self.n,
            pivot=pivot,
            mean=turn @ self.mean + np.array([0.0, 0.0, shift, 0.0]),
            scatter=turn @ self.scatter @ turn.T,
            max_weight=self.max_weight,
            off_support=self.off_support,
            terms=self.terms,
        )

    def covariance(self, *, ddof: int) -> Array:
        """Return the terms' covariance, shape (4, 4), divided by n − ddof; NaN where that is 0."""
        free = self.n - ddof
        return self.scatter / free if free > 0 else np.full_like(self.scatter, np.nan)


def _both(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b
