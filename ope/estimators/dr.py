"""Doubly robust estimation."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums


def dr(sums: Sums) -> Linearised:
    """Return Σ (q_target + w (r − q_logged)) / n (Dudík, Langford and Li 2011, section 2).

    Unbiased under exact propensities whatever the model; the better the model, the smaller the error.
    """
    _, _, d, z = sums.mean.tolist()
    return Linearised(sums.pivot + d + z, (0.0, 0.0, 1.0, 1.0), ddof=1)
