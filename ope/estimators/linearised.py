"""What an estimator says of a log: a value, and how it moves with the means of the row terms."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ope.sums import Sums

Gradient: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Linearised:
    """A value and its gradient by the means of (w, y, d, z).

    `ddof` is 1 for a mean, whose variance is the sample variance, and 0 for a ratio, whose plug-in
    variance is the delta method's.
    """

    value: float
    gradient: Gradient
    ddof: int

    @np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
    def stderr(self, sums: Sums) -> float:
        """Return √(gᵀ Cov g / n), in reward units; NaN for one row, which shows no spread."""
        if sums.n < 2:
            return math.nan
        gradient = np.array(self.gradient)
        variance = float(gradient @ sums.covariance(ddof=self.ddof) @ gradient) / sums.n
        return math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else math.nan


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, NaN over 0: undefined is an answer here, not an error."""
    return numerator / denominator if denominator else math.nan
