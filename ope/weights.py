"""What is done to an importance weight before it counts: the table of weight transforms, as expressions over a column.

Each takes the raw weight w = p_target/p_log and one parameter λ, and tends to w itself as the largest weight that it
lets through grows. `bound` maps that largest weight (for `os`, twice it) to λ, so that one grid serves them all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import narwhals as nw

from ope.errors import InvalidRequest

RAW = "w"
REWARD = "reward"
AGAINST = "against:"
"""Before the name of a canonical column: that of the policy which the target is compared with."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One way to tame a weight: the map, its parameter's range, and where the map comes from."""

    name: str
    of: Callable[[nw.Expr, float], nw.Expr]
    bound: Callable[[float], float]
    says: str
    holds: Callable[[float], bool]


def safe_name(name: str) -> str:
    """Return a column's name that means itself on every engine; Spark takes a dot for a field of a struct."""
    return name.replace("%", "%25").replace(".", "%2E")


def _clip(w: nw.Expr, most: float) -> nw.Expr:
    """min(w, λ) (Ionides 2008; Bottou et al. 2013)."""
    return w.clip(upper_bound=most)


def _switch(w: nw.Expr, most: float) -> nw.Expr:
    """w·1{w ≤ λ} (Wang, Agarwal and Dudík 2017, SWITCH)."""
    return nw.when(w <= most).then(w).otherwise(0.0)


def _shrink(w: nw.Expr, strength: float) -> nw.Expr:
    """λ w/(w² + λ) (Su, Dimakopoulou, Krishnamurthy and Dudík 2020, optimistic shrinkage)."""
    return w * strength / (w * w + strength)


def _harmonic(w: nw.Expr, share: float) -> nw.Expr:
    """w/(1 − λ + λ w), between w and 1 (Metelli, Russo and Restelli 2021, the power mean of exponent −1)."""
    return w / (w * share + (1 - share))


def _positive(at: float) -> bool:
    return 0 < at < math.inf


TRANSFORMS: dict[str, Transform] = {
    one.name: one
    for one in (
        Transform("clipped", _clip, lambda most: most, "a number above 0", _positive),
        Transform("switch", _switch, lambda most: most, "a number above 0", _positive),
        Transform("os", _shrink, lambda most: most * most, "a number above 0", _positive),
        Transform("sg", _harmonic, lambda most: 1 / most, "from 0 to below 1", lambda at: 0 <= at < 1),
    )
}


@dataclass(frozen=True, slots=True, order=True)
class Weight:
    """How a row counts: a column of raw weights, a transform with its parameter, and the column of its reward.

    Without a transform of TRANSFORMS the raw weight counts as it is.
    """

    column: str = RAW
    transform: str = ""
    at: float = 0.0
    reward: str = REWARD

    def __post_init__(self) -> None:
        """Refuse a parameter outside the transform's range."""
        if self.transform and not TRANSFORMS[self.transform].holds(self.at):
            raise InvalidRequest(
                f"{self.transform} weights with {self.at:g}: their parameter is {TRANSFORMS[self.transform].says}."
            )

    @property
    def name(self) -> str:
        """The column's name for the frame that is summed."""
        return safe_name(f"{self.column}|{self.transform}:{self.at!r}" if self.transform else self.column)

    def of(self, raw: nw.Expr) -> nw.Expr:
        """Return the transformed weight as an expression."""
        return TRANSFORMS[self.transform].of(raw, self.at) if self.transform else raw

    def against(self) -> "Weight":
        """Return the same weight of the policy that the target is compared with."""
        return replace(self, column=AGAINST + self.column, reward=against(self.reward))


PLAIN = Weight()


def against(column: str) -> str:
    """Return the column of the other policy where there is one for each; rewards are the same for both."""
    return AGAINST + column if column == "q_target" else column
