"""Plain sums over the decisions that a gate has folded; added up one by one, so that no cut shows in them."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ope.diagnostics import Diagnostics
from ope.estimators.linearised import ratio

Floats = npt.NDArray[np.float64]
ZEROS = (0.0,) * 10


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of rows, and the sums of w, w², v, v², s, w s, v s, x, x² and (w − 1)²; and the largest w.

    w and v are the weights of candidate and champion, s the reward as a share of its range, and x = w s − 1 + v (1 − s)
    what the row says of the lift.
    """

    n: int = 0
    sums: tuple[float, ...] = ZEROS
    max_weight: float = 0.0

    def fold(self, w: Floats, v: Floats, s: Floats) -> "Tally":
        """Return the sums with more rows, each of shape (m,)."""
        if not w.size:
            return self
        x = w * s - 1 + v * (1 - s)
        terms = np.stack([w, w * w, v, v * v, s, w * s, v * s, x, x * x, (w - 1) ** 2])
        # A running sum rounds the same however the rows are cut; the usual sum of an array does not.
        sums = np.cumsum(np.concatenate([np.array(self.sums)[:, None], terms], axis=1), axis=1)[:, -1]
        return Tally(self.n + w.size, tuple(sums.tolist()), max(self.max_weight, float(w.max())))

    @property
    def lift(self) -> float:
        """The candidate's value less the champion's, as a share of the reward range."""
        return self._mean(7)

    @property
    def lift_stderr(self) -> float:
        """The standard error of that, NaN below two rows."""
        return math.sqrt(self._variance(7, 8) / self.n) if self.n > 1 else math.nan

    @property
    def candidate(self) -> float:
        """The candidate's value as a share of the reward range, by importance weights."""
        return self._mean(5)

    @property
    def champion(self) -> float:
        """The champion's value, the same way; the mean reward where it logged."""
        return self._mean(6)

    @property
    def ess(self) -> float:
        """What the rows are worth of the one of the two policies of which they are worth less (Kish 1965)."""
        return min(effective(self.sums[0], self.sums[1]), effective(self.sums[2], self.sums[3]))

    def diagnostics(self, support_deficit: float | None) -> Diagnostics:
        """Return how far the candidate's weights can be trusted."""
        off = self._mean(0) - 1
        spread = math.sqrt(max(self.sums[9] / self.n - off * off, 0.0) / self.n) if self.n else math.nan
        z = 0.0 if off == 0 else ratio(off, spread)
        ess = effective(self.sums[0], self.sums[1])
        return Diagnostics(ess, self.max_weight, self._mean(0), z, support_deficit)

    def _mean(self, place: int) -> float:
        return self.sums[place] / self.n if self.n else math.nan

    def _variance(self, first: int, second: int) -> float:
        return max(self.sums[second] - self.sums[first] ** 2 / self.n, 0.0) / (self.n - 1)


def effective(total: float, squares: float) -> float:
    """Return (Σw)²/Σw² (Kish 1965, section 8.2), 0 where every weight is 0."""
    return total * total / squares if squares else 0.0
