"""The shape of the weights' tail: the k of a generalised Pareto distribution, as in PSIS."""

import math

import numpy as np

from ope.diagnostics.evidence import Floats

FEWEST = 5
"""Exceedances that a fit needs (Vehtari et al. 2024)."""
FEWEST_VALUES = 10
"""Distinct weights without which there is no tail to fit: a context-free logger has one weight per action."""
ROUNDED = 1e-6
"""Relative; weights that differ by less are one."""
_PRIOR_SHAPE, _PRIOR_ROWS = 0.5, 10
_PRIOR_SCALE = 3


def tail_length(n: int) -> int:
    """Return how many of the largest weights are the tail (Vehtari et al. 2024): min(n/5, 3 sqrt(n))."""
    return math.ceil(min(0.2 * n, 3 * math.sqrt(n)))


def pareto_k(largest: Floats, *, n: int) -> float | None:
    """Return the k of n weights of which these are the largest, descending, at least one more than the tail.

    k < 1/2: finite variance; k >= 1: no finite mean. None where there is no tail to fit: fewer than 5
    exceedances, or fewer than 10 distinct ones, which are bounded weights of a few actions.
    """
    length = tail_length(n)
    if len(largest) <= length:
        return None
    cutoff = largest[length]
    # Logs in single precision write one weight in many ways: excesses of 1e-8 would look like a tail.
    over = largest[:length][largest[:length] > cutoff * (1 + ROUNDED)]
    if len(over) < FEWEST or len(np.unique(over)) < FEWEST_VALUES:
        return None
    return shape(np.sort(over - cutoff))


def worst_k(n: int, most: float) -> float:
    """Return the k above which n weights are too few: min(1 - 1/log10 n, most) (Vehtari et al. 2024)."""
    return min(1 - 1 / math.log10(n), most) if n > 10 else 0.0


def shape(exceedances: Floats) -> float:
    """Return k of exceedances > 0, ascending: Zhang and Stephens 2009, with the prior of Vehtari et al. 2024.

    A profile likelihood in b = -k/sigma is averaged over a grid; ten rows' worth of k = 1/2 steady small tails.
    """
    n = len(exceedances)
    points = 30 + int(math.sqrt(n))
    quartile = exceedances[int(n / 4 + 0.5) - 1]
    grid = 1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    b = grid / (_PRIOR_SCALE * quartile) + 1 / exceedances[-1]
    k = np.log1p(-b[:, None] * exceedances).mean(axis=1)
    profile = n * (np.log(-b / k) - k - 1)
    weight = np.exp(profile - profile.max())
    mean_b = float((b * weight).sum() / weight.sum())
    found = float(np.log1p(-mean_b * exceedances).mean())
    return (n * found + _PRIOR_ROWS * _PRIOR_SHAPE) / (n + _PRIOR_ROWS)
