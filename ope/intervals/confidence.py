"""How sure a bound is to be, and on which sides."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ope.errors import InvalidRequest

Bound = Callable[[float], float]


class Side(StrEnum):
    """Which bounds are asked for; the open side of a one-sided interval is infinite."""

    BOTH = "both"
    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Confidence:
    """A level, strictly between 0 and 1, that both bounds hold together, or the one that is asked for."""

    level: float = 0.95
    side: Side = Side.BOTH

    @property
    def alpha(self) -> float:
        """The probability with which a single bound may be wrong: two bounds share what the level leaves."""
        left = 1 - self.level
        return left / 2 if self.side is Side.BOTH else left

    def bounds(self, lower: Bound, upper: Bound) -> tuple[float, float]:
        """Return the bounds that the functions give for `alpha`; a side that nobody asked for is not computed."""
        return (
            -math.inf if self.side is Side.UPPER else lower(self.alpha),
            math.inf if self.side is Side.LOWER else upper(self.alpha),
        )


def checked_side(side: str) -> Side:
    """Return the side of that name; raises InvalidRequest for what is none."""
    if side in set(Side):
        return Side(side)
    raise InvalidRequest(f"--side is {side!r}; it is {', '.join(Side)}.")
