"""What rows add to a betting bound's evidence, on average and in spread, for the bets that are to be expected."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from scipy.interpolate import CubicSpline

from ope.gate.tally import Floats
from ope.intervals.betting import AIM, HALF

BETS, SMALLEST_BET = 24, 1e-7
Outcomes: TypeAlias = Sequence[tuple[Floats, Floats | float]]
"""Values, each with its probability in each row."""


def bets_before(scatter: Floats, seen: Floats) -> Floats:
    """Return what `Betting` puts at stake on row `seen`, counted from 1, where the rows before have this scatter."""
    bets: Floats = np.sqrt(2 * math.log(1 / AIM) / ((0.25 + scatter) * np.log1p(seen)))
    return bets


def moments(outcomes: Outcomes) -> tuple[float, float]:
    """Return mean and variance of the outcomes."""
    mean = sum(float(np.mean(p * x)) for x, p in outcomes)
    return mean, sum(float(np.mean(p * (x - mean) ** 2)) for x, p in outcomes)


def gains(outcomes: Outcomes, tested: float) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Return mean and variance of what a row adds to log wealth, for any bet: exact ones, with splines between."""
    bets = np.geomspace(SMALLEST_BET, HALF / tested, BETS)
    found = np.array([moments([(np.log1p(bet * (x - tested)), p) for x, p in outcomes]) for bet in bets])
    per_bet, per_square = (CubicSpline(np.log(bets), found[:, i] / bets ** (i + 1)) for i in (0, 1))

    def of(bet: Floats) -> tuple[Floats, Floats]:
        at = np.log(np.maximum(bet, SMALLEST_BET))
        return bet * per_bet(at), bet**2 * np.maximum(per_square(at), 0.0)

    return of
