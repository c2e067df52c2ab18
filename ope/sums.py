"""The mergeable O(1) state of the closed-form estimators; knows no file, engine or policy.

Of each row some terms (`ope.terms`) are summed, and the products of those that one estimator reads together. Every IPS,
self-normalised, direct and doubly robust estimator is a smooth function of their means, and its standard error follows
from their scatter by the delta method.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ope.terms import Term, w_of
from ope.weights import PLAIN

Array: TypeAlias = npt.NDArray[np.float64]
W = w_of(PLAIN)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Means and scatter of the row terms; `a + b` is the state of both logs together.

    `mean` has shape (k,) and `scatter`, the centred sums of products, shape (k, k), both in the order of `terms`; a
    product that nobody asked for is NaN. `max_weight` is the largest w; `off_support` the summed mass of the target
    that the logger could not play, or None where the log does not say.

    Precision: the pivot keeps an offset of the rewards, of any size, out of the variances. Plain sums
    of squares are the case pivot = 0 and lose every digit once the offset is 1e8 times the spread.
    """

    n: int
    pivot: float
    terms: tuple[Term, ...]
    mean: Array
    scatter: Array
    max_weight: float
    off_support: float | None

    @np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
    def __add__(self, other: "Sums") -> "Sums":
        """Merge two logs (Chan, Golub and LeVeque 1983, eq. 2.1, for a vector).

        Raises ValueError for sums of other terms: what one of them lacks cannot be had from the other.
        """
        if self.terms != other.terms:
            raise ValueError(f"sums of {_names(self.terms)} and of {_names(other.terms)} do not add up to one state")
        other = other.from_pivot(self.pivot)
        n = self.n + other.n
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.n * other.n / n)
        return Sums(
            n=n,
            pivot=self.pivot,
            terms=self.terms,
            mean=self.mean + step * (other.n / n),
            scatter=self.scatter + other.scatter + between,
            max_weight=max(self.max_weight, other.max_weight),
            off_support=_both(self.off_support, other.off_support),
        )

    @np.errstate(all="ignore")
    def from_pivot(self, pivot: float) -> "Sums":
        """Return the same state with rewards counted from another pivot."""
        shift = self.pivot - pivot
        mean, scatter = self.mean.copy(), self.scatter.copy()
        for i, term in enumerate(self.terms):
            if term.kind == "d":
                mean[i] += shift
            elif term.gains is not None:
                j = self.place(term.gains)
                mean[i] += shift * self.mean[j]
                # Row, then column: its own square moves by both. Products nobody asked for stay NaN.
                scatter[i] += shift * scatter[j]
                scatter[:, i] += shift * scatter[:, j]
        return Sums(self.n, pivot, self.terms, mean, scatter, self.max_weight, self.off_support)

    def against(self, terms: Sequence[Term]) -> "Sums":
        """Return the sums of the other policy's terms, under the names that these terms have for the target."""
        places = [self.place(term.against()) for term in terms]
        mean, scatter = self.mean[places], self.scatter[np.ix_(places, places)]
        return Sums(self.n, self.pivot, tuple(terms), mean, scatter, self.max_weight, self.off_support)

    def place(self, term: Term) -> int:
        """Return where the term stands in `mean` and `scatter`; raises ValueError where it was not summed."""
        return self.terms.index(term)

    def mean_of(self, term: Term) -> float:
        """Return a term's mean over the rows."""
        return float(self.mean[self.place(term)])

    def means_of(self, *terms: Term) -> list[float]:
        """Return the means of some terms, in their order."""
        return [self.mean_of(term) for term in terms]

    def scatter_of(self, a: Term, b: Term) -> float:
        """Return the centred sum of two terms' products; NaN where nobody asked for it."""
        return float(self.scatter[self.place(a), self.place(b)])

    def covariance(self, terms: Iterable[Term], *, ddof: int) -> Array:
        """Return these terms' covariance, divided by n − ddof; NaN where that is 0."""
        places = [self.place(term) for term in terms]
        scatter, free = self.scatter[np.ix_(places, places)], self.n - ddof
        return scatter / free if free > 0 else np.full_like(scatter, np.nan)


def _both(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _names(terms: Iterable[Term]) -> str:
    return ", ".join(term.name for term in terms)
