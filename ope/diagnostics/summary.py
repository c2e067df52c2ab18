"""How far the log can be trusted for a target, from the same sums as the estimates."""

import math
from dataclasses import dataclass

from ope.estimators.linearised import ratio
from ope.sums import Sums, W


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Numbers about the weights; NaN where undefined, `support_deficit` None where unknown.

    `ess` is the effective sample size in rows; `mean_weight_z` counts standard errors between the
    mean weight and 1, its expectation when propensities and support are right.
    """

    ess: float
    max_weight: float
    mean_weight: float
    mean_weight_z: float
    support_deficit: float | None


def diagnose(sums: Sums) -> Diagnostics:
    """Return the diagnostics of a log's sums."""
    off = sums.off_support
    return Diagnostics(
        ess=effective_rows(sums),
        max_weight=sums.max_weight,
        mean_weight=sums.mean_of(W),
        mean_weight_z=mean_weight_z(sums),
        support_deficit=None if off is None else off / sums.n,
    )


def effective_rows(sums: Sums) -> float:
    """Return (Σw)²/Σw² (Kish 1965, section 8.2; Kong 1992), 0 where every weight is 0."""
    mean, scatter = sums.mean_of(W), sums.scatter_of(W, W)
    total = mean * sums.n
    return total / (scatter / total + mean) if total else 0.0  # weights so small that their squares are 0 too


def mean_weight_z(sums: Sums) -> float:
    """Return (w̄ − 1)/√(s²/n), 0 where the mean is exactly 1, NaN where the spread is unknown or 0."""
    off = sums.mean_of(W) - 1
    if off == 0:
        return 0.0
    variance = float(sums.covariance([W], ddof=1)[0, 0])
    return ratio(off, math.sqrt(max(variance, 0.0) / sums.n))
