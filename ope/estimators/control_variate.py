"""IPS and DR with the mean weight as a control variate, at its optimal coefficient."""

import numpy as np

from ope.estimators.linearised import Linearised, ratio
from ope.sums import Sums
from ope.terms import D, Term, w_of, y_of, z_of
from ope.weights import Weight

CONSTANT = 1e-24
"""Weights whose variance is below this share of their squared mean differ by rounding alone."""


def beta_ips_terms(weight: Weight) -> tuple[Term, ...]:
    """Return what `beta_ips` reads."""
    return w_of(weight), y_of(weight)


def beta_dr_terms(weight: Weight) -> tuple[Term, ...]:
    """Return what `beta_dr` reads."""
    return D, w_of(weight), z_of(weight)


def beta_ips(sums: Sums, weight: Weight) -> Linearised:
    """Return Σ (w (r − β) + β) / n at β = Cov(w r, w)/Var(w), the β of least variance.

    Gupta, Jeunen, Oosterhuis and de Rijke 2024 (β-IPS); a regression on the control variate w − 1 (Owen 2013, section
    8.9). Consistent; the β that is estimated on the same rows biases it by O(1/n). Constant weights tell no β; they are
    then divided out, as by `snips`.
    """
    w, y = beta_ips_terms(weight)
    slope = _coefficient(sums, w, y)
    return Linearised(sums.pivot + sums.mean_of(y) - slope * (sums.mean_of(w) - 1), {y: 1.0, w: -slope}, ddof=1)


def beta_dr(sums: Sums, weight: Weight) -> Linearised:
    """Return DR less β (mean weight − 1), at β = Cov(q_target + w (r − q_logged), w)/Var(w)."""
    d, w, z = beta_dr_terms(weight)
    slope = _coefficient(sums, w, z, d)
    value = sums.pivot + sums.mean_of(d) + sums.mean_of(z) - slope * (sums.mean_of(w) - 1)
    return Linearised(value, {d: 1.0, w: -slope, z: 1.0}, ddof=1)


@np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
def _coefficient(sums: Sums, w: Term, x: Term, *also: Term) -> float:
    """Return the slope of a regression of the terms' sum on w; `x` alone, over w, where w is constant."""
    spread, mean = sums.scatter_of(w, w), sums.mean_of(w)
    if spread <= CONSTANT * sums.n * mean * mean:
        return ratio(sums.mean_of(x), mean)
    return sum(sums.scatter_of(w, term) for term in (x, *also)) / spread
