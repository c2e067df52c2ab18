"""What is asked of an interval, and what is declared for it."""

import math
from dataclasses import dataclass

from ope.errors import InvalidRequest
from ope.intervals.confidence import Confidence

ROUNDING = 1e-9
"""A weight of p/p that was computed in floating point may exceed the largest by so much of it."""


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest reward that there can be, declared and not observed."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InvalidRequest(
                f"--reward-range is {self.low:g},{self.high:g}; it is two finite numbers, the smaller first, such as "
                "0,1."
            )

    @property
    def width(self) -> float:
        """How far the ends are from each other."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Ask:
    """How sure an interval is to be, on which sides, over what range of rewards, and with what largest weight.

    `within` is None where nobody declared a range, `most` infinite where nobody declared a largest weight; `past` says
    that each prediction was made by a model that had learned from earlier rows alone; `seed` is that of methods that
    draw.
    """

    confidence: Confidence
    within: Range | None = None
    most: float = math.inf
    past: bool = False
    seed: int = 0

    @property
    def range(self) -> Range:
        """The declared range; raises InvalidRequest where there is none."""
        if self.within is None:
            raise InvalidRequest(
                "the interval needs --reward-range LO,HI: the rewards that can be, not those that were seen."
            )
        return self.within


def checked_largest(most: float | None) -> float:
    """Return the declared largest weight, infinite for none; raises InvalidRequest for what cannot be one."""
    if most is None:
        return math.inf
    if 1 <= most < math.inf:
        return most
    raise InvalidRequest(
        f"--largest-weight is {most:g}; weights have a mean of 1, so that the largest is a number of at least 1: 1 "
        "over the smallest propensity that there can be. Leave it out if nobody knows."
    )


def checked_seed(seed: int) -> int:
    """Return the seed; raises InvalidRequest for one below 0."""
    if seed >= 0:
        return seed
    raise InvalidRequest(f"--seed is {seed}; it is a whole number of at least 0.")
