"""How many decisions it is expected to take in all, if those to come are as those before."""

import math

import numpy as np

from ope.gate.gains import bets_before
from ope.gate.methods import State
from ope.gate.tally import Floats
from ope.intervals.betting import HALF
from ope.intervals.mixture import Mixture

FURTHEST = 1e12
"""Decisions beyond which nobody waits."""
STEPS, HALVINGS = 2000, 60


def expected_total(state: State, tested: float, evidence: float, needed: float) -> float | None:
    """Return after how many decisions in all the evidence is expected to suffice; None if it is not to be expected.

    `evidence` is what there is against the tested mean, which the mean so far has to be above.
    """
    if not state.n or state.total / state.n <= tested:
        return None
    if isinstance(state, Mixture):
        return _of_mixture(state, tested, needed)
    at, grown = _grown(state.n, state.total / state.n - tested, state.scatter / state.n, tested)
    enough = np.flatnonzero(evidence + grown >= needed)
    return float(at[enough[0]]) if enough.size else None


def _grown(n: int, off: float, variance: float, tested: float) -> tuple[Floats, Floats]:
    """Return numbers of decisions, and by how much the evidence of `Betting` grows to there on average.

    To the second order in the bets, which is all that a mean and a variance can tell.
    """
    at = n + np.unique(np.rint(np.geomspace(1, FURTHEST, STEPS)))
    rows = np.diff(np.concatenate(([n], at)))
    middle = at - (rows - 1) / 2
    bets = np.minimum(bets_before(variance * (middle - 1), middle), HALF / tested)
    return at, np.cumsum(rows * (bets * off - bets**2 * (variance + off * off) / 2))


def _of_mixture(state: Mixture, tested: float, needed: float) -> float | None:
    def suffices(factor: float) -> bool:
        grown = Mixture(round(state.n * factor), state.total * factor, state.scatter * factor)
        return grown.log_evidence(tested) >= needed

    low, high = 0.0, math.log(FURTHEST / state.n)
    if not suffices(math.exp(high)):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(math.exp(middle)) else (middle, high)
    return state.n * math.exp(high)
