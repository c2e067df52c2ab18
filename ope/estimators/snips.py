"""Self-normalised inverse propensity scoring."""

from ope.estimators.linearised import Linearised, ratio
from ope.sums import Sums


def snips(sums: Sums) -> Linearised:
    """Return v = Σ w r / Σ w (Swaminathan and Joachims 2015, section 4), NaN where every w is 0.

    Its standard error is the delta method's, √(Σ w² (r − v)²) / Σ w.
    """
    w, y, _, _ = sums.mean.tolist()
    above_pivot = ratio(y, w)
    gradient = (ratio(-above_pivot, w), ratio(1.0, w), 0.0, 0.0)
    return Linearised(sums.pivot + above_pivot, gradient, ddof=0)
