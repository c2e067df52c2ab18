"""Confidence sequences by their names: bounds that hold at every look, of whatever the outcomes are of."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ope.intervals.betting import sharp_lower
from ope.intervals.confidence import Confidence
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, Outcomes
from ope.intervals.two_sided import TwoSided

Chunks: TypeAlias = Callable[[], Iterator[Outcomes]]
"""The outcomes in decision order, chunk by chunk, begun anew each time that it is called."""
Sequence: TypeAlias = Callable[[Chunks, Claim, Confidence], tuple[float, float]]


def betting(outcomes: Chunks, claim: Claim, confidence: Confidence) -> tuple[float, float]:
    """Return the betting bounds after all outcomes, which are gone through several times to sharpen them."""
    return confidence.bounds(
        lambda alpha: claim.lower(sharp_lower(lambda: (one.above for one in outcomes()), alpha)),
        lambda alpha: claim.upper(sharp_lower(lambda: (one.below for one in outcomes()), alpha)),
    )


def eb_mixture(outcomes: Chunks, claim: Claim, confidence: Confidence) -> tuple[float, float]:
    """Return the bounds of the empirical-Bernstein mixture after all outcomes."""
    state = TwoSided(Mixture(), Mixture())
    for one in outcomes():
        state = state.fold(one)
    return state.bounds(claim, confidence)


SEQUENCES: dict[str, Sequence] = {"eb_mixture": eb_mixture, "betting": betting}
