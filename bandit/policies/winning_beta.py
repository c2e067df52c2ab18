"""How likely each of several independent Beta-distributed rewards is the highest: Beta-Bernoulli Thompson Sampling.

On the logit scale a Beta density is smooth and log-concave for any parameters, and its distribution function is the
running integral of the density: one quadrature gives both, and no incomplete beta function is needed.
"""

import math

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from bandit.compiled import compiled

Floats = NDArray[np.float64]

_COUNT = 12
_NODES, _WEIGHTS = legendre.leggauss(_COUNT)
_DROP = 20.0
"""A density is taken as 0 where it is below exp(-20) = 2e-9 of its peak."""
_PANEL = 3.0
"""A panel's greatest width, in the smallest scale that reaches into it."""


def _running() -> Floats:
    """Return the integrals from -1 to each node of the polynomials that are 1 at one node and 0 at the others."""
    basis = legendre.legvander(_NODES, _COUNT - 1)
    integrals = [legendre.legval(_NODES, legendre.legint(row, lbnd=-1)) for row in np.eye(_COUNT)]
    return np.ascontiguousarray(np.stack(integrals, axis=1) @ np.linalg.inv(basis))


_RUNNING = _running()


@compiled
def beta(successes: Floats, failures: Floats) -> Floats:
    """Return the probability that each of K independent Beta variables is the highest; error below 1e-7.

    Parameters of 0.1 and more, shapes (K,). Gauss-Legendre quadrature with 12 nodes on panels of the logit scale.
    """
    low, high = _reach(successes, failures)
    begin = low.max()  # below, one of them is 0 almost surely not exceeded
    arms = np.nonzero(high >= begin)[0]
    a, b, won, below = successes[arms], failures[arms], np.zeros(len(arms)), np.zeros(len(arms))
    bottom, top, peak, centre = low[arms], high[arms], np.empty(len(arms)), np.empty(len(arms))
    for k in range(len(arms)):
        peak[k], centre[k] = _peak(a[k], b[k]), math.log(a[k] / b[k])
    scale = np.minimum(1.0, np.sqrt(1 / a + 1 / b))
    density, under = np.empty((len(arms), _COUNT)), np.empty((len(arms), _COUNT))
    at, end = bottom.min(), top.max()
    while at < end:
        # A panel ends where the products begin to count: they jump there.
        half = _panel_width(bottom, top, scale, at, begin if at < begin else end) / 2
        for k in range(len(arms)):
            below[k] = _fill(a[k], b[k], peak[k], at - centre[k], half, below[k], density[k], under[k])
        if at >= begin:
            _add_wins(density, under, half, won)
        at += 2 * half
        if half == 0:
            break
    p = np.zeros(len(successes))
    p[arms] = won / won.sum()
    return p


@compiled
def _log_density(a: float, b: float, u: float) -> float:
    """Return the log density at the logit u above the mode's, less its value at the mode; without cancellation."""
    if u < 0:
        return a * u - (a + b) * math.log1p(a / (a + b) * math.expm1(u))
    return -b * u - (a + b) * math.log1p(b / (a + b) * math.expm1(-u))


@compiled
def _peak(a: float, b: float) -> float:
    """Return the density at the mode of the logit scale, by Stirling's series with its remainders."""
    return math.sqrt(a * (b / (a + b)) / (2 * math.pi)) * math.exp(_stirling(a + b) - _stirling(a) - _stirling(b))


@compiled
def _stirling(z: float) -> float:
    """Return ln Gamma(z) - [(z - 1/2) ln z - z + ln(2 pi) / 2] (Abramowitz and Stegun 1964, 6.1.41)."""
    if z < 10:
        return math.lgamma(z) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))
    return (1 / 12 - (1 / 360 - 1 / (1260 * z * z)) / (z * z)) / z


@compiled
def _reach(successes: Floats, failures: Floats) -> tuple[Floats, Floats]:
    """Return the logits between which each density is not taken as 0, shapes (K,)."""
    low, high = np.empty(len(successes)), np.empty(len(successes))
    for k in range(len(successes)):
        a, b = successes[k], failures[k]
        centre = math.log(a / b)
        low[k] = centre - _distance(b, a)
        high[k] = centre + _distance(a, b)
    return low, high


@compiled
def _distance(a: float, b: float) -> float:
    """Return how far above the mode the density has dropped by `_DROP`: Newton's method on a concave function."""
    u = math.sqrt(2 * _DROP * (1 / a + 1 / b))
    for _ in range(50):
        slope = -b + (a + b) * b / (a + b) * math.exp(-u) / (1 + b / (a + b) * math.expm1(-u))
        step = (_log_density(a, b, u) + _DROP) / slope
        u -= step
        if abs(step) <= 1e-3 * u:
            break
    return u


@compiled
def _panel_width(bottom: Floats, top: Floats, scale: Floats, at: float, end: float) -> float:
    """Halve the rest until it is narrow against every scale that reaches into it."""
    width = end - at
    while True:
        smallest = np.inf
        for k in range(len(scale)):
            if top[k] > at and bottom[k] < at + width:
                smallest = min(smallest, scale[k])
        if width <= _PANEL * smallest or at + width / 2 <= at:
            return width
        width /= 2


@compiled
def _fill(
    a: float, b: float, peak: float, start: float, half: float, below: float, density: Floats, under: Floats
) -> float:
    """Write density and distribution function at a panel's nodes; return the latter at the panel's end."""
    end = below
    for i in range(_COUNT):
        density[i] = peak * math.exp(_log_density(a, b, start + half * (1 + _NODES[i])))
        end += half * _WEIGHTS[i] * density[i]
    for i in range(_COUNT):
        inside = 0.0
        for j in range(_COUNT):
            inside += _RUNNING[i, j] * density[j]
        under[i] = min(max(below + half * inside, 0.0), 1.0)
    return min(end, 1.0)


@compiled
def _add_wins(density: Floats, under: Floats, half: float, won: Floats) -> None:
    """Add a panel's share of each integral; products of all factors but one are built from both ends."""
    for i in range(_COUNT):
        before = half * _WEIGHTS[i]
        for k in range(len(won)):
            density[k, i] *= before
            before *= under[k, i]
        after = 1.0
        for k in range(len(won) - 1, -1, -1):
            won[k] += density[k, i] * after
            after *= under[k, i]
