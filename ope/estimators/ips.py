"""Inverse propensity scoring."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import Term, w_of, y_of
from ope.weights import Weight


def terms(weight: Weight) -> tuple[Term, ...]:
    """Return what it reads."""
    return w_of(weight), y_of(weight)


def ips(sums: Sums, weight: Weight) -> Linearised:
    """Return Σ ŵ r / n (Horvitz and Thompson 1952; Dudík, Langford and Li 2011, section 2).

    With the plain weight, unbiased where the logger gave every action of the target a probability above 0.
    """
    w, y = terms(weight)
    value = sums.pivot * sums.mean_of(w) + sums.mean_of(y)
    return Linearised(value, {w: sums.pivot, y: 1.0}, ddof=1)
