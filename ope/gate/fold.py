"""The gate's fold over decisions in their order: the lift's two bounds, and plain sums."""

from dataclasses import dataclass

import numpy as np

from ope.gate.config import Gate
from ope.gate.methods import METHODS, State, evidence, lift_nodes, needed
from ope.gate.tally import Floats, Tally
from ope.intervals.outcomes import Claim, difference_outcomes


@dataclass(frozen=True, slots=True)
class Folded:
    """What is known after some decisions: `above` bounds the lift from below, `below` from above."""

    above: State
    below: State
    tally: Tally = Tally()  # noqa: RUF009 - a frozen value

    def fold(self, gate: Gate, w: Floats, v: Floats, r: Floats) -> "Folded":
        """Return it after more decisions: weights of candidate and champion, and rewards; each of shape (m,).

        With v = 1, the weight of the policy that logged, the outcomes are those of the lift over it.
        """
        s = (r - gate.reward_range[0]) / gate.width
        outcomes = difference_outcomes(w, v, s)
        return Folded(self.above.fold(outcomes.above), self.below.fold(outcomes.below), self.tally.fold(w, v, s))

    def evidence(self, gate: Gate) -> float:
        """Return the logarithm of the evidence that the lift is above the margin."""
        return evidence(self.above, gate.mean_at(gate.margin))

    def above_margin(self, gate: Gate) -> bool:
        """Say whether the lower bound of the lift is above the margin; at any look wrong with probability α."""
        return self.evidence(gate) >= needed(gate.alpha)

    def bounds(self, gate: Gate) -> tuple[float, float]:
        """Return the lower and the upper bound of the lift, each with the whole of α, in reward units."""
        claim = Claim(*gate.reward_range, k=1.0, lift=True)
        return claim.lower(self.above.lower(gate.alpha)), claim.upper(self.below.lower(gate.alpha))


def start(gate: Gate, *, only_margin: bool = False) -> Folded:
    """Return what is known before any decision; with `only_margin`, of one that only tells what is `above_margin`."""
    begin, margin = METHODS[gate.method].start, gate.mean_at(gate.margin)
    if only_margin:
        return Folded(begin((0.0, margin)), begin((0.0,)))
    # The upper bound is a lower bound of the mirrored outcomes, whose mean falls with the lift.
    return Folded(begin(lift_nodes(margin)), begin(lift_nodes(gate.mean_at(-gate.margin))))


def ones_like(w: Floats) -> Floats:
    """Return the weights of the policy that logged."""
    return np.ones_like(w)
