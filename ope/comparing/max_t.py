"""Simultaneous inference by the largest t: the multiplier bootstrap of paired differences, step-down.

Chernozhukov, Chetverikov and Kato 2013: with Gaussian multipliers ξ, Σ ξ_i (D_i − D̄)/√n is, given the rows, exactly
normal with the differences' sample covariance. So it is drawn from that covariance, and no row is read again. Adjusted
p-values by step-down: Romano and Wolf 2005, algorithm 4.1; they hold the familywise error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ope.comparing.joint import Joint
from ope.sums import Array

DRAWS = 20_000
_AT_ONCE = 2_000_000
"""Numbers in memory at once."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences of pairs, first less second: estimates, standard errors and adjusted p-values, shapes (m,).

    `critical` is how many standard errors a simultaneous interval reaches to each side.
    """

    values: Array
    stderrs: Array
    adjusted: Array
    critical: float


def differences(found: Joint, pairs: Sequence[Pair], *, level: float, seed: int) -> Differences:
    """Return the differences of these pairs, with errors that hold for all of them together."""
    first, second = np.array(pairs).T
    values = found.values[first] - found.values[second]
    spread = found.covariance
    variance = spread[first, first] + spread[second, second] - 2 * spread[first, second]
    # Two targets that are one and the same differ by rounding only: nothing can tell them apart.
    scale = spread[first, first] + spread[second, second]
    stderrs = np.sqrt(np.where(variance > 1e-12 * scale, variance, 0.0) / found.n)
    t = np.divide(np.abs(values), stderrs, out=np.zeros(len(pairs)), where=stderrs > 0)
    order = np.argsort(-t, kind="stable")
    largest, exceeded = _draw(found, (first[order], second[order]), stderrs[order], t[order], seed)
    adjusted = np.empty(len(pairs))
    adjusted[order] = np.maximum.accumulate((1 + exceeded) / (1 + DRAWS))
    return Differences(values, stderrs, np.minimum(adjusted, 1.0), float(np.quantile(largest, level)))


def _draw(found: Joint, pairs: tuple[Array, Array], stderrs: Array, t: Array, seed: int) -> tuple[Array, Array]:
    """Return the largest |t| of each draw, and for each pair how often that of it and those behind exceeds its own."""
    rng = np.random.default_rng(seed)
    eigen, vectors = np.linalg.eigh(found.covariance / found.n)
    root = vectors * np.sqrt(np.maximum(eigen, 0.0))
    largest, exceeded = np.empty(DRAWS), np.zeros(len(t))
    scale = np.where(stderrs > 0, stderrs, np.inf)
    step = max(1, _AT_ONCE // len(t))
    for start in range(0, DRAWS, step):
        z = rng.standard_normal((min(step, DRAWS - start), len(root))) @ root.T
        drawn = np.abs(z[:, pairs[0]] - z[:, pairs[1]]) / scale
        # From the right: the largest among a pair and all that are less clear than it.
        behind = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
        largest[start : start + len(z)] = behind[:, 0]
        exceeded += (behind >= t).sum(axis=0)
    return largest, exceeded
