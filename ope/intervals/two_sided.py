"""Two mirrored lower bounds, which are one interval: what is not above the least it can be, and not below the most."""

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from ope.intervals.confidence import Confidence
from ope.intervals.outcomes import Claim, Floats, Outcomes


class Fold(Protocol):
    """A lower bound on the mean of values of at least 0 whose mean is at most 1, row after row in decision order."""

    def fold(self, values: Floats) -> Self:
        """Return the state after more values."""
        ...

    def lower(self, alpha: float) -> float:
        """Return the bound that is ever above the mean with a probability of at most `alpha`."""
        ...


State = TypeVar("State", bound=Fold)


@dataclass(frozen=True, slots=True)
class TwoSided(Generic[State]):
    """The states behind the lower and the upper bound of one quantity."""

    above: State
    below: State

    def fold(self, outcomes: Outcomes) -> "TwoSided[State]":
        """Return the states after more rows, in decision order."""
        return TwoSided(self.above.fold(outcomes.above), self.below.fold(outcomes.below))

    def bounds(self, claim: Claim, confidence: Confidence) -> tuple[float, float]:
        """Return the interval of what is claimed, in reward units; a side that nobody asked for is infinite."""
        return confidence.bounds(
            lambda alpha: claim.lower(self.above.lower(alpha)), lambda alpha: claim.upper(self.below.lower(alpha))
        )
