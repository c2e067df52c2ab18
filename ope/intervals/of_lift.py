"""The lift of a target over the policy that logged, from canonical rows: what a gate looks at, as often as it likes."""

import math
from collections.abc import Callable, Iterator, Sequence

from ope.decision_order import Decisions, in_decision_order
from ope.errors import InvalidRequest
from ope.frames import Rows
from ope.intervals.ask import Range
from ope.intervals.betting import sharp_lower
from ope.intervals.checks import check_rows, held_to
from ope.intervals.confidence import Confidence
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, Outcomes, lift_outcomes
from ope.intervals.two_sided import TwoSided
from ope.weights import RAW, REWARD

Chunks = Callable[[], Iterator[Outcomes]]


def lift_bounds(
    logs: Sequence[Rows], within: Range, confidence: Confidence, method: str = "betting"
) -> tuple[float, float]:
    """Return bounds of the target's value less the logging policy's, in reward units, that hold at every look.

    They are of (w - 1) r, so that rewards that both policies would have earned cancel (Waudby-Smith, Wu, Ramdas,
    Karampatziakis and Mineiro 2022, section 3.1), and true however the logging policy learned. `within` is the declared
    range of rewards; the rows are read in decision order, see `in_decision_order`. `method` is `betting` or
    `eb_mixture`. A side that nobody asked for is infinite; bounds that contradict each other, as they do where mean
    weights are far from 1, are both NaN.

    Raises InvalidLog for a row that breaks a rule, or a reward out of range; InvalidRequest for another method, an
    engine without an order, and rows that stand for several decisions.
    """
    if method not in SEQUENCES:
        raise InvalidRequest(f"a lift is bounded by {' or '.join(SEQUENCES)}, not by {method}.")
    logs = [held_to(rows, within) for rows in logs]
    check_rows(logs)
    decisions = in_decision_order(logs, what=method)
    claim = Claim(within.low, within.high, k=1.0, lift=True)
    return uncrossed(SEQUENCES[method](lambda: _lifts(decisions, within), claim, confidence))


def betting_bounds(outcomes: Chunks, claim: Claim, confidence: Confidence) -> tuple[float, float]:
    """Return the betting bounds after all outcomes, which are gone through several times to sharpen them."""
    return confidence.bounds(
        lambda alpha: claim.lower(sharp_lower(lambda: (one.above for one in outcomes()), alpha)),
        lambda alpha: claim.upper(sharp_lower(lambda: (one.below for one in outcomes()), alpha)),
    )


def mixture_bounds(outcomes: Chunks, claim: Claim, confidence: Confidence) -> tuple[float, float]:
    """Return the bounds of the empirical-Bernstein mixture after all outcomes."""
    state = TwoSided(Mixture(), Mixture())
    for one in outcomes():
        state = state.fold(one)
    return state.bounds(claim, confidence)


SEQUENCES = {"betting": betting_bounds, "eb_mixture": mixture_bounds}


def uncrossed(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the bounds, or NaN for both where the lower one is above the upper one."""
    low, high = bounds
    return (math.nan, math.nan) if low > high else bounds


def _lifts(decisions: Decisions, within: Range) -> Iterator[Outcomes]:
    for part in decisions.parts():
        yield lift_outcomes(part[RAW], (part[REWARD] - within.low) / within.width)
