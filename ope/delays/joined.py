"""One evaluation out of those of both versions of a log: what is known when open decisions may earn anything."""

import math
from collections.abc import Sequence
from dataclasses import replace

from ope.delays.resolved import Resolved
from ope.evaluation import Estimate, Evaluation


def joined(found: Sequence[Evaluation], resolved: Resolved) -> Evaluation:
    """Return the evaluation, of one version as it is, of two with the values of both and no value of its own."""
    first, *rest = found
    told = replace(first, notes=(*resolved.notes, *first.notes), delayed=resolved.delayed)
    if not rest:
        return told
    pairs = zip(first.estimates, rest[0].estimates, strict=True)
    return replace(told, estimates=tuple(_between(low, high) for low, high in pairs))


def _between(low: Estimate, high: Estimate) -> Estimate:
    """Return what holds whatever the open decisions will earn.

    An estimate that never falls with a reward lies between the two. Each end of the interval misses the mean of its
    version as often as it says, and the value lies between these means.
    """
    return replace(
        low,
        value=math.nan,
        stderr=math.nan,
        interval=(low.interval[0], high.interval[1]),
        value_bounds=(low.value, high.value),
    )
