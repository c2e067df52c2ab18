"""One evaluation out of those of both versions of a log: what is known when open decisions may earn anything."""

import math
from collections.abc import Sequence
from dataclasses import replace

from ope.delays.resolved import Resolved
from ope.evaluation import Estimate, Evaluation


def joined(found: Sequence[Evaluation], resolved: Resolved) -> Evaluation:
    """Return the evaluation, of one version as it is, of two with the values of both and no value of its own."""
    one = found[0] if len(found) == 1 else _between(*found)
    return replace(one, notes=(*resolved.notes, *one.notes), delayed=resolved.delayed)


def _between(low: Evaluation, high: Evaluation) -> Evaluation:
    parts = zip(low.parts, high.parts, strict=True)
    return replace(
        low,
        estimates=tuple(_bounded(*pair) for pair in zip(low.estimates, high.estimates, strict=True)),
        parts=tuple(replace(part, evaluation=_between(part.evaluation, same.evaluation)) for part, same in parts),
    )


def _bounded(low: Estimate, high: Estimate) -> Estimate:
    """Return what holds whatever the open decisions will earn.

    An estimate that never falls when a reward grows lies between the two. Each end of the interval misses the mean of
    its version as often as it says, and the value lies between these means.
    """
    return replace(
        low,
        value=math.nan,
        stderr=math.nan,
        interval=(low.interval[0], high.interval[1]),
        value_bounds=(low.value, high.value),
    )
