"""How likely each of several independent random rewards is the highest: Thompson Sampling's propensities, computed.

p_k = integral of f_k(x) times the product over j != k of F_j(x), with densities f and distribution functions F.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

from bandit.compiled import compiled

Floats = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_REACH = 6.0
"""Deviations from the mean beyond which a Gaussian is taken as 0; 2e-9 of it is."""
_PANEL = 3.0
"""A panel's greatest width, in the smallest deviation that reaches into it."""
_TINY = 1e-200
"""Where all numbers are below this, they are all alike."""
_NOTHING = 1e-9
"""A probability that is left out."""
_SMALLEST = 1e-9
"""Deviations below this share of the largest number at hand are raised to it: equal means then share evenly."""
_SQRT_HALF = math.sqrt(0.5)
_MIDDLE = 2.5


def _scaled_tail() -> Floats:
    """Return the coefficients, highest power first, of exp(t^2) erfc(t) for 0 <= t <= _REACH / sqrt(2).

    A polynomial in y = (t - m) / (t + m) (Schonfelder 1978, Chebyshev expansions for the error and related functions);
    relative error below 1e-11. The density has the exponential already, and a call of `erfc` takes two more.
    """
    ends = [-1.0, (_REACH * _SQRT_HALF - _MIDDLE) / (_REACH * _SQRT_HALF + _MIDDLE)]
    fit = np.polynomial.Chebyshev.interpolate(lambda y: erfcx(_MIDDLE * (1 + y) / (1 - y)), 12, ends)
    return np.ascontiguousarray(fit.convert(kind=np.polynomial.Polynomial).coef[::-1])


_TAIL = _scaled_tail()
_DENSITY = 1 / math.sqrt(2 * math.pi)


@compiled
def gaussian(mean: Floats, deviation: Floats) -> Floats:
    """Return the probability that each of K independent Gaussians is the highest; error below 1e-7.

    Gauss-Legendre quadrature with 10 nodes on panels that no deviation inside is small against. Shapes (K,).
    """
    p = np.zeros(len(mean))
    spread = np.maximum(deviation, _SMALLEST * max(np.abs(mean).max(), deviation.max()))
    if spread.max() < _TINY:
        return np.full(len(mean), 1 / len(mean))
    high = (mean + _REACH * spread).max()
    low = _first_likely(mean, spread, (mean - _REACH * spread).max(), high)
    arms = np.nonzero(mean + _REACH * spread >= low)[0]
    if len(arms) == 1:
        p[arms] = 1.0
        return p
    m, s, won = mean[arms], spread[arms], np.zeros(len(arms))
    density, below = np.empty(len(arms)), np.empty(len(arms))
    while low < high:
        half = _panel_width(m, s, low, high) / 2
        for node in range(len(_NODES)):
            _densities(m, s, low + half * (1 + _NODES[node]), density, below)
            # Products of all factors but one, from both ends: dividing one out fails where it is 0.
            before = half * _WEIGHTS[node]
            for k in range(len(m)):
                density[k] *= before
                before *= below[k]
            after = 1.0
            for k in range(len(m) - 1, -1, -1):
                won[k] += density[k] * after
                after *= below[k]
        low += 2 * half
    p[arms] = won / won.sum()
    return p


@compiled
def _first_likely(m: Floats, s: Floats, low: float, high: float) -> float:
    """Return a point that the highest of all is below with less than 1e-9: the integral has nothing before it."""
    for _ in range(8):
        middle, below = (low + high) / 2, 1.0
        for k in range(len(m) if middle > low else 0):
            below *= math.erfc((m[k] - middle) / s[k] * _SQRT_HALF) / 2
            if below < _NOTHING:
                break
        if below < _NOTHING:
            low = middle
        else:
            high = middle
    return low


@compiled
def _panel_width(m: Floats, s: Floats, low: float, high: float) -> float:
    """Take of the rest what is narrow against every deviation that reaches into it, by halves at most."""
    width = high - low
    while True:
        smallest = np.inf
        for k in range(len(m)):
            if m[k] + _REACH * s[k] > low and m[k] - _REACH * s[k] < low + width:
                smallest = min(smallest, s[k])
        if width <= _PANEL * smallest or low + width / 2 <= low:
            return width
        width = max(width / 2, _PANEL * smallest)


@compiled
def _densities(m: Floats, s: Floats, x: float, density: Floats, below: Floats) -> None:
    for k in range(len(m)):
        z = (x - m[k]) / s[k]
        if abs(z) > _REACH:
            density[k], below[k] = 0.0, 1.0 if z > 0 else 0.0
        else:
            bell, t = math.exp(-z * z / 2), abs(z) * _SQRT_HALF
            y, tail = (t - _MIDDLE) / (t + _MIDDLE), 0.0
            for coefficient in _TAIL:
                tail = tail * y + coefficient
            tail *= bell / 2
            density[k] = _DENSITY / s[k] * bell
            below[k] = 1 - tail if z > 0 else tail
