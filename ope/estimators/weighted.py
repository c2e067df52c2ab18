"""Several loggers, each judged by its own propensities, and averaged by how much each one knows."""

import math
from dataclasses import dataclass

import numpy as np

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import Term, w_of, y_of, z_of
from ope.weights import Weight

ROUNDING = 1e-7
"""What the sums of a logger without spread, as one row is, leave of its scale as a standard error."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """IPS, or with `doubly` DR, of each logger, weighted by the inverse of its variance.

    Σ_k α_k V_k with α_k ∝ n_k/σ_k² and σ_k² the sample variance of logger k's rows (Agarwal, Basu, Schnabel and
    Joachims 2017, weighted IPS; Kallus, Saito and Uehara 2021, precision-weighted). Where a logger shows no spread,
    as one row does, nothing is known of its variance, and α_k ∝ n_k, which is plain IPS.
    """

    loggers: tuple[str, ...]
    doubly: bool

    @property
    def terms(self) -> tuple[Term, ...]:
        """Everything is read together: a row of one logger says that it is none of another."""
        return tuple(term for logger in self.loggers for term in self._terms(logger))

    def of(self, sums: Sums) -> Linearised:
        """Return the value and its gradient, for weights as they are: what they cost is of second order."""
        each = [self._gradient(sums, logger) for logger in self.loggers]
        precision = np.array([self._precision(sums, value, gradient) for value, gradient in each])
        if not np.all(np.isfinite(precision)):
            precision = np.array([sums.mean_of(self._terms(logger)[0]) for logger in self.loggers])
        share = precision / precision.sum()
        value = sum(s * v for s, (v, _) in zip(share.tolist(), each, strict=True))
        gradient = {t: s * g for s, (_, one) in zip(share.tolist(), each, strict=True) for t, g in one.items()}
        return Linearised(value, gradient, ddof=0)

    def _terms(self, logger: str) -> tuple[Term, Term, Term]:
        own = Weight(f"logger:{logger}")
        if not self.doubly:
            return w_of(Weight(f"is:{logger}")), w_of(own), y_of(own)
        here = Weight(f"is:{logger}", reward="q_target")
        return w_of(here), y_of(here), z_of(own)

    def _gradient(self, sums: Sums, logger: str) -> tuple[float, dict[Term, float]]:
        """Return the mean over one logger's rows, and its gradient: a ratio whose denominator counts the rows."""
        here, a, b = self._terms(logger)
        count, first, second = sums.means_of(here, a, b)
        if self.doubly:
            above = (first + second) / count
            return sums.pivot + above, {here: -above / count, a: 1 / count, b: 1 / count}
        value = (sums.pivot * first + second) / count
        return value, {here: -value / count, a: sums.pivot / count, b: 1 / count}

    def _precision(self, sums: Sums, value: float, gradient: dict[Term, float]) -> float:
        stderr = Linearised(value, gradient, ddof=0).stderr(sums)
        squares = (slope**2 * (sums.scatter_of(t, t) / sums.n + sums.mean_of(t) ** 2) for t, slope in gradient.items())
        return 1 / stderr**2 if stderr > ROUNDING * math.sqrt(sum(squares) / sums.n) else math.nan
