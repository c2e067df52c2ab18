"""Two bounds of one estimate, and what is to be said of them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds in reward units: infinite on a side that is open, NaN where there is none; `notes` in words."""

    low: float
    high: float
    notes: tuple[str, ...] = ()

    def checked(self, mean_weight: float) -> "Interval":
        """Return it, or none with a note where the bounds contradict each other."""
        if not self.low > self.high:
            return self
        note = (
            f"its lower bound of {self.low:g} is above its upper bound of {self.high:g}, so neither is given: the log "
            f"contradicts what they presume. The mean weight is {mean_weight:g}, and 1 if propensities are true and "
            "the logger could play what the target plays; see ope diagnose"
        )
        return Interval(math.nan, math.nan, (*self.notes, note))


NONE = Interval(math.nan, math.nan)
"""What an estimator has that a method does not bound."""
