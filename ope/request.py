"""What is asked of a log, as one value."""

from dataclasses import dataclass

from ope.estimators.asked import Wanted
from ope.frames import Columns
from ope.intervals.sequence import Range
from ope.intervals.table import Interval
from ope.policies import Policy


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a log; raises InvalidRequest when made of unknown names.

    `interval` is None for the method that is a fold over the rows; `within` is the declared range of rewards.
    """

    columns: Columns
    policies: tuple[Policy, ...]
    wanted: Wanted
    bandwidth: float | None
    method: str
    interval: Interval | None
    level: float
    within: Range | None = None
