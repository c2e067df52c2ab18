"""The chance that a gate opens after so many decisions: near by simulation, far by what the simulated paths come to."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from ope.gate.config import Gate
from ope.gate.gains import Outcomes, bets_before, gains, moments
from ope.gate.methods import needed
from ope.gate.pilot import Shifted
from ope.gate.tally import Floats
from ope.intervals.betting import HALF
from ope.intervals.mixture import Mixture

PATHS, ROWS, BLOCK = 2_000, 4_096, 512
"""How many logs are simulated, how far, and how many rows of them at a time."""
FURTHEST, APART = 1e12, 1.05
"""Decisions beyond which nobody waits, and the factor between two looks."""
_NEAR = 0.15
"""Chances within so much of the one that is asked for tell where it is reached."""


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Where each path is: sums of outcomes and of their squares about the running mean, log wealth; (paths,)."""

    n: int
    total: Floats
    scatter: Floats
    wealth: Floats


def decisions_for(shifted: Shifted, gate: Gate, power: float, *, seed: int = 0) -> float | None:
    """Return after how many decisions the lower bound is above the margin with a chance of `power`; None if never.

    Right to some percent: the paths leave an error of 0.01 in a chance of 0.8, which is 3% of the decisions.
    """
    looks, chances = chances_of(shifted, gate, power, seed=seed)
    if not looks.size or chances[-1] < power:
        return None
    return _reached(looks, chances, power)


def chances_of(shifted: Shifted, gate: Gate, power: float, *, seed: int) -> tuple[Floats, Floats]:
    """Return numbers of decisions, and the chance that the gate is open there; up to where that is well above power."""
    opens = _opens(gate)
    beyond = power + (1 - power) / 2
    ends = Ends(0, *(np.zeros(PATHS) for _ in range(3)))
    looks, chances = list[float](), list[float]()
    for part in _simulated(shifted, gate, ends, np.random.default_rng(seed)):
        ends = part[-1]
        looks += [one.n for one in part]
        chances += [float(opens(one).mean()) for one in part]
        if chances[-1] > beyond:
            return np.array(looks), np.array(chances)
    far, beyond_rows = _far(shifted, gate, ends)
    return np.concatenate([looks, far]), np.concatenate([chances, beyond_rows])


def _reached(looks: Floats, chances: Floats, power: float) -> float:
    """Return where the chance is `power`: by a line through its quantiles near there, for single ones are noisy."""
    last_below = int(np.flatnonzero(chances < power)[-1]) if (chances < power).any() else 0
    clipped = np.clip(chances, 0.5 / PATHS, 1 - 0.5 / PATHS)
    near = np.abs(clipped - power) <= min(_NEAR, (1 - power) * 0.75)
    near[: max(0, int(np.searchsorted(looks, looks[last_below] / 3)))] = False
    if near.sum() < 3:
        return float(looks[min(last_below + 1, len(looks) - 1)])
    slope, level = np.polyfit(np.log(looks[near]), ndtri(clipped[near]), 1)
    if not slope > 0:
        return float(looks[min(last_below + 1, len(looks) - 1)])
    return float(np.exp((ndtri(power) - level) / slope))


def _simulated(shifted: Shifted, gate: Gate, ends: Ends, rng: np.random.Generator) -> Iterator[list[Ends]]:
    looks = np.unique(np.rint(APART ** np.arange(60, math.log(ROWS) / math.log(APART)))).astype(int)
    looks = np.append(looks[looks < ROWS], ROWS)
    while ends.n < ROWS:
        values = np.stack([shifted.sampled_values(BLOCK, rng) for _ in range(PATHS)])
        found = followed(ends, values, gate.mean_at(gate.margin))
        ends = found(BLOCK)
        inside = looks[(looks > ends.n - BLOCK) & (looks <= ends.n)]
        yield [found(int(look) - ends.n + BLOCK) for look in inside if look != ends.n] + [ends]


def followed(ends: Ends, values: Floats, tested: float) -> Callable[[int], Ends]:
    """Return where the paths are after a number of further outcomes, shape (paths, rows): `Betting` on many logs."""
    seen = ends.n + np.arange(1, values.shape[1] + 1)
    totals = ends.total[:, None] + values.cumsum(axis=1)
    squares = (values - np.minimum((0.5 + totals) / (seen + 1), 1.0)) ** 2
    scatters = ends.scatter[:, None] + squares.cumsum(axis=1)
    before = np.concatenate([ends.scatter[:, None], scatters[:, :-1]], axis=1)
    bets = np.minimum(bets_before(before, seen), HALF / tested)
    wealth = ends.wealth[:, None] + np.log1p(bets * (values - tested)).cumsum(axis=1)
    return lambda rows: Ends(ends.n + rows, *(one[:, rows - 1] for one in (totals, scatters, wealth)))


def _opens(gate: Gate) -> Callable[[Ends], npt.NDArray[np.bool_]]:
    """Return what says of each path whether the gate is open, by the method that it rests on."""
    if gate.method == "betting":
        return lambda ends: ends.wealth >= needed(gate.alpha)
    tested, least = gate.mean_at(gate.margin), _least_surplus(gate)
    return lambda ends: ends.total - ends.n * tested >= least(ends.scatter)


def _least_surplus(gate: Gate) -> Callable[[Floats], Floats]:
    """Return the sum above the tested mean's that rules it out, given the scatter."""
    goal = needed(gate.alpha)

    def solved(scatter: float) -> float:
        def short(surplus: float) -> float:
            return Mixture(1, surplus, scatter).log_evidence(0.0) - goal

        return float(brentq(short, 0.0, 100 * math.sqrt((scatter + 1) * (goal + 10)) + 100))

    grid = np.geomspace(1e-3, FURTHEST, 200)
    curve = PchipInterpolator(np.log(grid), [solved(one) for one in grid])
    return lambda scatter: curve(np.log(np.clip(scatter, grid[0], grid[-1])))


def _far(shifted: Shifted, gate: Gate, ends: Ends) -> tuple[Floats, Floats]:
    """Go on from the ends: each path's later evidence is normal, with mean and variance for the bets to come."""
    at = np.rint(ends.n * APART ** np.arange(1, math.log(FURTHEST / ends.n) / math.log(APART)))
    values = shifted.outcomes()
    mean, variance = moments(values)
    tested, ahead = gate.mean_at(gate.margin), at - ends.n
    if gate.method != "betting":
        scatter = ends.scatter[:, None] + variance * ahead
        surplus = ends.total[:, None] - ends.n * tested + ahead * (mean - tested)
        least = _least_surplus(gate)
        # A row that raises the sum raises the scatter as well, and with it what is needed.
        steep = (least(scatter * 1.01) - least(scatter * 0.99)) / (0.02 * scatter)
        spread = _spread_beside(values, mean, variance, steep)
        return at, ndtr((surplus - least(scatter)) / np.sqrt(ahead * spread)).mean(axis=0)
    rows = np.diff(np.concatenate(([ends.n], at)))
    middle = at - (rows - 1) / 2
    bets = np.minimum(bets_before(ends.scatter[:, None] + variance * (middle - ends.n), middle), HALF / tested)
    gain, spread = gains(values, tested)(bets)
    wealth = ends.wealth[:, None] + (rows * gain).cumsum(axis=1)
    return at, ndtr((wealth - needed(gate.alpha)) / np.sqrt((rows * spread).cumsum(axis=1))).mean(axis=0)


def _spread_beside(outcomes: Outcomes, mean: float, variance: float, steep: Floats) -> Floats:
    """Return the variance of x - c (x - mean)² for each c of `steep`."""
    third, fourth = (sum(float(np.mean(p * (x - mean) ** k)) for x, p in outcomes) for k in (3, 4))
    return variance - 2 * steep * third + steep**2 * (fourth - variance**2)
