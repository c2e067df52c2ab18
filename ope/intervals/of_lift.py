"""The lift of a target over the policy that logged, from canonical rows: what a gate looks at, as often as it likes."""

import math
from collections.abc import Iterator, Sequence

from ope.decision_order import Decisions, in_decision_order
from ope.errors import InvalidRequest
from ope.frames import Rows
from ope.intervals.ask import Range
from ope.intervals.checks import check_rows, held_to
from ope.intervals.confidence import Confidence
from ope.intervals.outcomes import Claim, Outcomes, lift_outcomes
from ope.intervals.sequences import SEQUENCES
from ope.weights import RAW, REWARD


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
    low, high = SEQUENCES[method](lambda: _lifts(decisions, within), claim, confidence)
    return (math.nan, math.nan) if low > high else (low, high)


def _lifts(decisions: Decisions, within: Range) -> Iterator[Outcomes]:
    for part in decisions.parts():
        yield lift_outcomes(part[RAW], (part[REWARD] - within.low) / within.width)
