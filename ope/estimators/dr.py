"""Doubly robust estimation."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import D, Term, z_of
from ope.weights import Weight


def terms(weight: Weight) -> tuple[Term, ...]:
    """Return what it reads."""
    return D, z_of(weight)


def dr(sums: Sums, weight: Weight) -> Linearised:
    """Return Σ (q_target + ŵ (r − q_logged)) / n (Dudík, Langford and Li 2011, section 2).

    With the plain weight, unbiased under exact propensities whatever the model; the better the model, the smaller the
    error. With w·1{w ≤ λ} it is Switch-DR (Wang, Agarwal and Dudík 2017), with λ w/(w² + λ) DRos (Su et al. 2020).
    """
    d, z = terms(weight)
    return Linearised(sums.pivot + sums.mean_of(d) + sums.mean_of(z), {d: 1.0, z: 1.0}, ddof=1)
