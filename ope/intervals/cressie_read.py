"""The Cressie-Read interval: empirical likelihood in closed form, from six sums that merge; for one look at a log."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit

from ope.intervals.ask import ROUNDING

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WeightSums:
    """Sums over the rows of w, w², w r, w² r and w² r², with r in units of the declared range; and the largest w."""

    n: int
    w: float
    ww: float
    wr: float
    wwr: float
    wwrr: float
    largest: float

    @staticmethod
    def of(w: Floats, r: Floats) -> "WeightSums":
        """Return the sums of rows, both of shape (n,)."""
        ww, wr = w * w, w * r
        sums = (w.sum(), ww.sum(), wr.sum(), (ww * r).sum(), (wr * wr).sum(), w.max())
        return WeightSums(len(w), *(float(one) for one in sums))

    def __add__(self, other: "WeightSums") -> "WeightSums":
        """Merge two logs."""
        return WeightSums(
            self.n + other.n,
            self.w + other.w,
            self.ww + other.ww,
            self.wr + other.wr,
            self.wwr + other.wwr,
            self.wwrr + other.wwrr,
            max(self.largest, other.largest),
        )

    def turned(self) -> "WeightSums":
        """Return the sums with 1 - r in the place of r."""
        rest = self.ww - 2 * self.wwr + self.wwrr
        return WeightSums(self.n, self.w, self.ww, self.w - self.wr, self.ww - self.wwr, rest, self.largest)

    @property
    def counts(self) -> bool:
        """Whether every weight is 1 and every reward at an end of the range, so that Σ w r counts successes."""
        return self.ww - 2 * self.w + self.n <= ROUNDING * self.n and self.wwr - self.wwrr <= ROUNDING * self.n


def lower(sums: WeightSums, alpha: float, *, most: float = math.inf) -> float:
    """Return a lower bound of the target's value, 0 to 1, that is wrong with a probability of about `alpha`.

    That of the paper, and no more than can be said where weights are all about 1: rows of weight 0 or `most` cannot be
    mixed in there without moving the mean weight, and the paper's bound then claims that what was not seen cannot be.
    So it is also the bound with an unseen row of weight 1; never nearer to 1 than alpha^(1/n), the rate of what n rows
    did not show; and exact where successes can be counted (Clopper and Pearson 1934).

    Raises ValueError for a weight above `most`.
    """
    if sums.largest > most * (1 + ROUNDING):
        raise ValueError(f"a row has a weight of {sums.largest:g}; {most:g} was declared to be the largest.")
    if sums.counts:
        return _exact(sums, alpha)
    unseen = float(alpha ** (1 / sums.n))
    return min(of_the_paper(sums, alpha, most=most), max(0.0, _unmoved(sums, alpha)), unseen)


def of_the_paper(sums: WeightSums, alpha: float, *, most: float = math.inf) -> float:
    """Return the lower bound of Karampatziakis, Langford and Mineiro 2020, section 4.

    It is the least value over reweightings of the rows, and of one row more that was not seen, under which weights have
    mean 1 and whose Cressie-Read divergence of power -2 from the rows is no larger than the log itself suggests. `most`
    is the largest weight that there can be, declared and not observed; the smallest is 0. One-sided: an interval takes
    the quantile of both tails from alpha / 2, twice. It is asymptotic, like the normal one, but keeps to the range and
    to E[w] = 1.
    """
    phi = -(_unconstrained(sums, most) + _quantile(sums.n, alpha)) / (2 * (1 + sums.n))
    found = [bound for unseen in (0.0, most) if (bound := _least(sums, phi, unseen)) is not None]
    return min(1.0, max(0.0, min(found, default=0.0)))


def _exact(sums: WeightSums, alpha: float) -> float:
    """The rate under which so many successes, or more, have probability alpha."""
    successes = round(sums.wr)
    return float(betaincinv(successes, sums.n - successes + 1, alpha)) if successes else 0.0


def _unmoved(sums: WeightSums, alpha: float) -> float:
    """The least value where the unseen row has weight 1 and no reward, and so leaves the mean weight where it is.

    The divergence that the log suggests is that of the paper with weights whose mean is 1: between 1, for weights
    without a spread, and 0.
    """
    n = sums.n
    mean, square = (1 + sums.w) / (1 + n), (1 + sums.ww) / (1 + n)
    value, cross, squared = sums.wr / (1 + n), sums.wwr / (1 + n), sums.wwrr / (1 + n)
    spread, shared = square - mean**2, cross - mean * value
    slope = shared / spread if spread > ROUNDING else 0.0
    variance = max(0.0, squared - value**2 - slope * shared)
    reach = _quantile(n, alpha) + 1 / (1 + n * max(spread, 0.0))
    return value + (1 - mean) * slope - math.sqrt(variance * reach / (1 + n))


def _quantile(n: int, alpha: float) -> float:
    """The quantile of F(1, n) that is exceeded with probability 2 alpha, as the square of Student's t."""
    return float(stdtrit(n, 1 - alpha)) ** 2 if alpha < 0.5 else 0.0


def _unconstrained(sums: WeightSums, most: float) -> float:
    """The divergence of the best reweighting under which weights have mean 1, whatever the value."""
    n, unseen = sums.n, most if sums.w < sums.n else 0.0
    if unseen == math.inf:
        return 1 + 1 / n
    mean, square = (unseen + sums.w) / (1 + n), (unseen**2 + sums.ww) / (1 + n)
    return (1 + n) * (mean - 1) ** 2 / (square - mean**2)


def _least(sums: WeightSums, phi: float, unseen: float) -> float | None:
    """The least value when the row that was not seen has this weight and reward 0; None where nothing is feasible."""
    n = sums.n
    if unseen == math.inf:
        x = sums.wr / n
        y = sums.wr**2 / (n * (1 + n)) - sums.wwrr / (1 + n)
        return _corner(x, y, phi + 1 / (2 * n))
    mean, square = (unseen + sums.w) / (1 + n), (unseen**2 + sums.ww) / (1 + n)
    spread = square - mean**2
    if spread <= 0:
        return None
    value, cross, squared = sums.wr / (1 + n), sums.wwr / (1 + n), sums.wwrr / (1 + n)
    slope = (cross - mean * value) / spread
    y = slope * (cross - mean * value) - (squared - value**2)
    return _corner(value + (1 - mean) * slope, y, phi + (1 - mean) ** 2 / (2 * spread))


def _corner(x: float, y: float, z: float) -> float | None:
    # y and z are at most 0; where they are 0, rounding may put them on the other side.
    if z > 1e-15:
        return None
    return x - math.sqrt(2 * min(y, 0.0) * min(z, 0.0))
