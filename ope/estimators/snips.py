"""Self-normalised inverse propensity scoring."""

from ope.estimators.linearised import Linearised, ratio
from ope.sums import Sums
from ope.terms import Term, w_of, y_of
from ope.weights import Weight


def terms(weight: Weight) -> tuple[Term, ...]:
    """Return what it reads."""
    return w_of(weight), y_of(weight)


def snips(sums: Sums, weight: Weight) -> Linearised:
    """Return v = Σ ŵ r / Σ ŵ (Swaminathan and Joachims 2015, section 4), NaN where every ŵ is 0.

    Its standard error is the delta method's, √(Σ ŵ² (r − v)²) / Σ ŵ.
    """
    w, y = terms(weight)
    mean = sums.mean_of(w)
    above_pivot = ratio(sums.mean_of(y), mean)
    return Linearised(sums.pivot + above_pivot, {w: ratio(-above_pivot, mean), y: ratio(1.0, mean)}, ddof=0)
