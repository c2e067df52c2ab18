"""What is asked of a log, as one value."""

from dataclasses import dataclass

from ope.estimators.asked import Wanted
from ope.frames import Columns
from ope.intervals.table import Interval
from ope.policies import Policy


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a log; raises InvalidRequest when made of unknown names."""

    columns: Columns
    policies: tuple[Policy, ...]
    wanted: Wanted
    bandwidth: float | None
    method: str
    interval: Interval
    level: float
