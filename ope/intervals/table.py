"""Every interval method by its name."""

from typing import Protocol

from ope.errors import InvalidRequest
from ope.intervals.normal import normal

SEQUENCE = "eb_mixture"
"""The one that is a fold over the rows, and bounds `ips`."""


class Interval(Protocol):
    """Bounds around a value from its standard error, both in reward units."""

    def __call__(self, value: float, stderr: float, *, level: float) -> tuple[float, float]:
        """Return the lower and upper bound; NaN where the standard error is."""
        ...


INTERVALS: dict[str, Interval] = {"normal": normal}


def interval_method(name: str) -> Interval | None:
    """Return the method of that name, None for the one that is a fold; raises InvalidRequest for an unknown one."""
    if name == SEQUENCE:
        return None
    if name not in INTERVALS:
        raise InvalidRequest(f"unknown interval {name!r}; the methods are {', '.join([*INTERVALS, SEQUENCE])}.")
    return INTERVALS[name]


def checked_level(level: float) -> float:
    """Return the level if it is a probability strictly between 0 and 1; else raise InvalidRequest."""
    if 0 < level < 1:
        return level
    raise InvalidRequest(f"level is {level}; it lies between 0 and 1, both excluded. Try 0.95.")
