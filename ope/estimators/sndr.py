"""Self-normalised doubly robust estimation."""

from ope.estimators.linearised import Linearised, ratio
from ope.sums import Sums
from ope.terms import D, Term, w_of, z_of
from ope.weights import Weight


def terms(weight: Weight) -> tuple[Term, ...]:
    """Return what it reads."""
    return D, w_of(weight), z_of(weight)


def sndr(sums: Sums, weight: Weight) -> Linearised:
    """Return Σ q_target / n + Σ ŵ (r − q_logged) / Σ ŵ (Thomas and Brunskill 2016, section 5, for one step).

    NaN where every ŵ is 0. Its standard error is the delta method's, from the covariance of all three terms.
    """
    d, w, z = terms(weight)
    mean = sums.mean_of(w)
    correction = ratio(sums.mean_of(z), mean)
    gradient = {d: 1.0, w: ratio(-correction, mean), z: ratio(1.0, mean)}
    return Linearised(sums.pivot + sums.mean_of(d) + correction, gradient, ddof=0)
