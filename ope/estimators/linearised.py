"""What an estimator says of a log: a value, and how it moves with the means of the row terms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ope.sums import Sums
from ope.terms import Term

Gradient: TypeAlias = Mapping[Term, float]


@dataclass(frozen=True, slots=True)
class Linearised:
    """A value and its gradient by the means of its terms; terms that are not named do not move it.

    `ddof` is 1 for a mean, whose variance is the sample variance, and 0 for a ratio, whose plug-in
    variance is the delta method's.
    """

    value: float
    gradient: Gradient
    ddof: int

    def __add__(self, other: "Linearised") -> "Linearised":
        """Return the sum of two values over the same rows, with the gradient that keeps their covariance."""
        both = {term: self.gradient.get(term, 0.0) + other.gradient.get(term, 0.0) for term in self._terms(other)}
        return Linearised(self.value + other.value, both, min(self.ddof, other.ddof))

    def less(self, other: "Linearised") -> "Linearised":
        """Return the value less that of the other policy over the same rows; `other` is in terms of the target."""
        theirs = {term.against(): -slope for term, slope in other.gradient.items()}
        return self + Linearised(-other.value, theirs, other.ddof)

    @np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
    def stderr(self, sums: Sums) -> float:
        """Return √(gᵀ Cov g / n), in reward units; NaN for one row, which shows no spread."""
        if sums.n < 2:
            return math.nan
        gradient = np.array(list(self.gradient.values()))
        variance = float(gradient @ sums.covariance(self.gradient, ddof=self.ddof) @ gradient) / sums.n
        return math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else math.nan

    def _terms(self, other: "Linearised") -> dict[Term, None]:
        return dict.fromkeys((*self.gradient, *other.gradient))


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, NaN over 0: undefined is an answer here, not an error."""
    return numerator / denominator if denominator else math.nan
