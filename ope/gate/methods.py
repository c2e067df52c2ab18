"""The lower bounds that a gate may rest on, by name: what each begins with, and its evidence against one mean."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ope.intervals.betting import Betting
from ope.intervals.mixture import Mixture

State: TypeAlias = Betting | Mixture
STEPS = 256


def lift_nodes(*also: float) -> tuple[float, ...]:
    """Return means for lifts of all sizes, ever closer near 0, and those of `also`.

    A lift of x in units of the reward range is a mean of (1 + x)/2; lifts are told apart to 3/(256 ∛x) of themselves,
    where the nodes of a value are 0.005 apart.
    """
    lifts = [(i / STEPS) ** 3 for i in range(-STEPS, STEPS + 1)]
    return tuple(sorted({*((1 + lift) / 2 for lift in lifts), *also}))


@dataclass(frozen=True, slots=True)
class Method:
    """A bound: its state before any row, with the nodes that it bets at if it does."""

    name: str
    start: Callable[[tuple[float, ...]], State]


METHODS = {one.name: one for one in (Method("betting", Betting), Method("eb_mixture", lambda _: Mixture()))}


def evidence(state: State, mean: float) -> float:
    """Return the logarithm of the evidence that the true mean is above `mean`, which for `betting` is a node.

    It is ever above ln(1/α) with a probability of at most α if the true mean is not above.
    """
    if not state.n:
        return 0.0
    if isinstance(state, Mixture):
        return state.log_evidence(mean) if mean < state.total / state.n else 0.0
    return float(state.log_wealth()[state.nodes.index(mean)])


def needed(alpha: float) -> float:
    """Return the evidence from which on a mean is ruled out."""
    return -math.log(alpha)


def spread(state: State) -> float:
    """Return the variance of the values so far about their running mean."""
    return float(np.divide(state.scatter, state.n)) if state.n else math.nan
