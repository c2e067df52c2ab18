"""How unlikely what was drawn is under the logged probabilities: bounds that hold for every log, not in the limit.

All are valid for adaptive logging, where a row's propensities depend on the rows before it. Values
are natural logarithms of p-values.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

STAKES = (0.5, 0.15, 0.05, 0.015, 0.005, 0.0015)
"""Shares that are bet on an action being drawn too often: large ones for few rows, small ones for millions."""
_HALVINGS = 60


def tail(deviation: Floats, variance: Floats) -> Floats:
    r"""Return the bound on log P(S >= s) for sums S of terms at most 1 with mean 0; shapes (J,).

        P(S >= s) <= exp(-V h(s/V)),  h(u) = (1 + u) log(1 + u) - u

    V adds up the conditional variances (Bennett 1962; Freedman 1975, for martingales).
    """
    deviation, variance = np.broadcast_arrays(np.maximum(deviation, 0.0), variance)
    u = np.divide(deviation, variance, out=np.full(deviation.shape, np.inf), where=variance > 0)
    with np.errstate(invalid="ignore"):
        bound = -variance * ((1 + u) * np.log1p(u) - u)
    return np.where(deviation == 0, 0.0, np.where(variance > 0, bound, -np.inf))


def reach(variance: float, log_p: float) -> float:
    """Return the deviation at which `tail` falls to log_p, by bisection."""
    low, high = 0.0, 1.0 - log_p + math.sqrt(max(variance, 0.0)) * (1.0 - log_p)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = float(tail(np.array([middle]), np.array([variance]))[0]) > log_p
        low, high = (middle, high) if above else (low, middle)
    return high


def too_often(rows: Floats, drawn: Floats, logs: Floats) -> Floats:
    """Return the bound on log p that actions are drawn more often than 1 in 1/p; shapes (J,), (J,), (stakes, J).

    x = 1{action drawn}/p has a conditional mean of at most 1, so that for each stake c the product of
    1 + c (x - 1) is a supermartingale, and so is their mean over the stakes: it reaches 1/a with a
    probability of at most a (Ville 1939; Waudby-Smith and Ramdas 2024). `logs` holds the sums of
    log(1 + c (1/p - 1)) over the rows that drew the action; the others add log(1 - c).
    """
    stakes = np.array(STAKES)[:, None]
    wealth = logs + (rows - drawn) * np.log1p(-stakes)
    most = wealth.max(axis=0)
    log_mean = most + np.log(np.exp(wealth - most).mean(axis=0))
    return np.asarray(np.minimum(-log_mean, 0.0))


def too_seldom(rows: float, inverse: Floats, squares: Floats) -> Floats:
    """Return the bound on log p that the sums of 1/p fall so far below the rows; shapes (J,).

        P(sum x <= n - t) <= exp(-t^2 / (2 sum E[x^2]))

    for x >= 0 (Maurer 2003, theorem 1). E[x^2] = E[x/p] is estimated by the ratio of the sums of 1/p^2 and 1/p.
    """
    short = np.maximum(rows - inverse, 0.0)
    second = rows * np.divide(squares, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)
    return -(short**2) / (2 * second)
