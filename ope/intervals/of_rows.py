"""Intervals that go through the rows: one for a declared range, and those that hold at every look."""

from collections.abc import Iterator

import numpy as np

from ope.frames import PREDICTED
from ope.intervals.ask import ROUNDING, Ask, Range
from ope.intervals.empirical_bernstein import Bounded
from ope.intervals.evidence import Evidence
from ope.intervals.interval import Interval
from ope.intervals.of_sums import refuse_larger
from ope.intervals.outcomes import Claim, Floats, Outcomes, difference_outcomes, dr_outcomes, ips_outcomes
from ope.intervals.sequences import Sequence
from ope.intervals.two_sided import TwoSided
from ope.weights import AGAINST, RAW, REWARD

DOUBLY = "dr"


def bernstein_bounds(evidence: Evidence, ask: Ask) -> Interval:
    """Return the interval of Maurer and Pontil of `ips`; weights above `most` are cut, which keeps both bounds true."""
    state = TwoSided(Bounded(ask.most), Bounded(ask.most))
    for part in evidence.rows.parts():
        state = state.fold(ips_outcomes(np.minimum(part[RAW], ask.most), _shares(part[REWARD], ask.range)))
    low, high = state.bounds(Claim(ask.range.low, ask.range.high), ask.confidence)
    if evidence.sums.max_weight <= ask.most * (1 + ROUNDING):
        return Interval(low, high)
    cut = f"weights above {ask.most:g} are cut in its bounds, which keeps them true: --largest-weight is below some"
    return Interval(low, high, (cut,))


def bounds_of(sequence: Sequence, evidence: Evidence, ask: Ask) -> Interval:
    """Return what a confidence sequence says after all rows, of a value, or of a difference by `ips`.

    Of `dr`, φ + k is bounded, with k the largest weight: raises InvalidRequest where that is below one in the log.
    """
    claim = Claim(ask.range.low, ask.range.high)
    if evidence.paired:
        claim = Claim(ask.range.low, ask.range.high, k=1.0, lift=True)
        return Interval(*sequence(lambda: _differences(evidence, ask), claim, ask.confidence))
    if evidence.name == DOUBLY:
        refuse_larger(evidence, ask)
        claim = Claim(ask.range.low, ask.range.high, k=ask.most)
        return Interval(*sequence(lambda: _doubly(evidence, ask), claim, ask.confidence))
    return Interval(*sequence(lambda: _weighed(evidence, ask), claim, ask.confidence))


def _weighed(evidence: Evidence, ask: Ask) -> Iterator[Outcomes]:
    for part in evidence.rows.parts():
        yield ips_outcomes(part[RAW], _shares(part[REWARD], ask.range))


def _differences(evidence: Evidence, ask: Ask) -> Iterator[Outcomes]:
    for part in evidence.rows.parts(AGAINST + RAW):
        yield difference_outcomes(part[RAW], part[AGAINST + RAW], _shares(part[REWARD], ask.range))


def _doubly(evidence: Evidence, ask: Ask) -> Iterator[Outcomes]:
    for part in evidence.rows.parts(*PREDICTED):
        # A prediction outside the range is a worse one than the end of the range, and any prediction is allowed.
        q, d = (np.clip(_shares(part[column], ask.range), 0.0, 1.0) for column in PREDICTED)
        yield dr_outcomes(part[RAW], _shares(part[REWARD], ask.range), q, d, most=ask.most)


def _shares(rewards: Floats, within: Range) -> Floats:
    return (rewards - within.low) / within.width
