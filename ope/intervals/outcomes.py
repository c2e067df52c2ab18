"""Turns rows into values of at least 0 with a mean of at most 1, which is all that a bound on a mean asks for.

Everything here is in units of a declared reward range: r = 0 is the least and r = 1 the most that there can be. For a
quantity v, `above` has a mean that grows with v and serves its lower bound, `below` one that falls with v and serves
its upper bound. Where φ ≥ -k has mean ν in [0, 1], (φ + k) / (1 + k) is at least 0 with a mean of at most 1, and the
bounds of Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022 (Anytime-valid off-policy inference for contextual
bandits) with that k are those of k = 0 for it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ope.intervals.ask import ROUNDING

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Two values of each row, shape (n,): none below 0, and of a mean of at most 1 under any true policy value."""

    above: Floats
    below: Floats


@dataclass(frozen=True, slots=True)
class Claim:
    """What bounds on the means of `Outcomes` say in reward units: of a value, or of a difference of two."""

    low: float
    high: float
    k: float = 0.0
    lift: bool = False

    def lower(self, bound: float) -> float:
        """Return the lower bound of the quantity from that of the mean of `above`."""
        return max(self._lowest, (0.0 if self.lift else self.low) + self._reach(bound))

    def upper(self, bound: float) -> float:
        """Return the upper bound of the quantity from the lower bound of the mean of `below`."""
        return min(self._highest, (0.0 if self.lift else self.high) - self._reach(bound))

    @property
    def _lowest(self) -> float:
        return self.low - self.high if self.lift else self.low

    @property
    def _highest(self) -> float:
        return self.high - self.low if self.lift else self.high

    def _reach(self, bound: float) -> float:
        return (self.high - self.low) * ((1 + self.k) * bound - self.k)


def ips_outcomes(w: Floats, r: Floats) -> Outcomes:
    """Return w r and w (1 - r), for the target's value; k is 0, and no largest weight is needed.

    With weights that were cut short, min(w, λ), both bounds stay true, for no value is below 0.
    """
    return Outcomes(w * r, w * (1 - r))


def dr_outcomes(w: Floats, r: Floats, q: Floats, d: Floats, *, most: float) -> Outcomes:
    """Return the doubly robust values d + w (r - q), for the target's value; k is `most`, the largest weight there is.

    q is what a model predicted for the logged action and d for the target, both in [0, 1] and made without the row and
    those after it. Raises ValueError for a weight above `most` or a prediction outside.
    """
    _check(w <= most * (1 + ROUNDING), w, f"a weight is at most {most:g}, the largest that was declared")
    for name, predicted in (("q", q), ("d", d)):
        _check((predicted >= 0) & (predicted <= 1), predicted, f"{name}, a predicted reward, is in the reward range")
    value = d + np.minimum(w, most) * (r - q)
    return Outcomes((value + most) / (1 + most), (1 - value + most) / (1 + most))


def truncated_dr_outcomes(
    p_target: Floats, p_log: Floats, q: Floats, *, chosen: npt.NDArray[np.int64], r: Floats, k: float
) -> Outcomes:
    """Return doubly robust values with predictions cut at k/w, for the target's value; no largest weight is needed.

    The first three have shape (n, actions), `chosen` is the place of the logged action, k > 0 is free to choose.
    Equation (10) of the paper with each action's own weight inside the sum: with the logged action's weight there the
    values are biased.
    """
    weight = np.divide(p_target, p_log, out=np.full_like(p_target, np.inf), where=p_log > 0)
    weight[p_target == 0] = 0.0
    cut = np.divide(k, weight, out=np.full_like(weight, np.inf), where=weight > 0)
    row = np.arange(len(r))
    w = weight[row, chosen]

    def value(reward: Floats, predicted: Floats) -> Floats:
        short = np.minimum(predicted, cut)
        found: Floats = w * (reward - short[row, chosen]) + (p_target * short).sum(axis=1)
        return (found + k) / (1 + k)

    return Outcomes(value(r, q), value(1 - r, 1 - q))


def lift_outcomes(w: Floats, r: Floats) -> Outcomes:
    """Return the values of (w - 1) r, for the target's value less the logging policy's; k is 1."""
    return difference_outcomes(w, np.ones_like(w), r)


def difference_outcomes(w: Floats, w_other: Floats, r: Floats) -> Outcomes:
    """Return the values of w r - (1 - w' (1 - r)), for one target's value less another's, on the same rows; k is 1.

    They are at least -1 and of mean V(π) - V(π'), because w' has mean 1; section 3.1 of the paper.
    """
    return Outcomes((w * r + w_other * (1 - r)) / 2, (w_other * r + w * (1 - r)) / 2)


def _check(kept: npt.NDArray[np.bool_], values: Floats, rule: str) -> None:
    if not kept.all():
        first = int(np.argmin(kept))
        raise ValueError(f"row {first + 1:,} has {values[first]:g}; {rule}.")
