"""Inverse propensity scoring."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums


def ips(sums: Sums) -> Linearised:
    """Return Σ w r / n (Horvitz and Thompson 1952; Dudík, Langford and Li 2011, section 2).

    Unbiased where the logger gave every action of the target a probability above 0.
    """
    w, y, _, _ = sums.mean.tolist()
    return Linearised(sums.pivot * w + y, (sums.pivot, 1.0, 0.0, 0.0), ddof=1)
