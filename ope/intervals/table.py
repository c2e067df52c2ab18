"""Every interval method by its name: what it bounds, and what must be declared for it; one line adds one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ope.errors import InvalidRequest
from ope.intervals.ask import Ask
from ope.intervals.evidence import Evidence
from ope.intervals.interval import Interval
from ope.intervals.of_rows import bernstein_bounds, bounds_of
from ope.intervals.of_sums import cressie_read_bounds, normal_bounds
from ope.intervals.resampling import bootstrap_bounds
from ope.intervals.sequences import SEQUENCES

LARGEST, PAST = "--largest-weight", "--past-predictions"
WHY = {
    LARGEST: f"{LARGEST} declares the largest weight that there can be",
    PAST: f"{PAST} declares that each prediction was made by a model that had learned from earlier rows alone; "
    "predictions that were fitted across the log void a bound that holds at every look",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A named interval; `of` are the estimators that it bounds, each with what must be declared for it.

    None stands for all that are made of sums and their differences of two policies, and with `folds` for ordered folds
    too; `differences` are those that it bounds besides. `ranged` says that the range of rewards must be declared,
    `exact` that it is no approximation, and `ordered` that rows are read in decision order.
    """

    name: str
    bounds: Callable[[Evidence, Ask], Interval]
    of: dict[str, tuple[str, ...]] | None = None
    differences: tuple[str, ...] = ()
    folds: bool = False
    ranged: bool = False
    exact: bool = False
    ordered: bool = False

    def holds_for(self, name: str, ask: Ask, *, fold: bool) -> bool:
        """Whether it has bounds for an estimator; `fold` says that that is an ordered fold."""
        if self.of is None:
            return self.folds or not fold
        return name in self.of and not self.undeclared(name, ask)

    def holds_for_difference(self, name: str) -> bool:
        """Whether it has bounds for the difference of two policies by an estimator."""
        return self.of is None or name in self.differences

    def undeclared(self, name: str, ask: Ask) -> list[str]:
        """Return the options that it needs for an estimator, and that nobody gave."""
        given = {LARGEST: ask.most < math.inf, PAST: ask.past}
        return [option for option in (self.of or {}).get(name, ()) if not given[option]]

    @property
    def says(self) -> str:
        """What it bounds, in words."""
        if self.of is None:
            return f"{self.name} bounds what is made of sums"
        named = [f"{one} with {' and '.join(needs)}" if needs else one for one, needs in self.of.items()]
        return f"{self.name} bounds {', '.join(named)}"

    def without_difference(self, names: list[str]) -> str:
        """Say that differences by these estimators have no interval."""
        what = f"the difference by {', '.join(self.differences)}" if self.differences else "no differences"
        return f"{self.name} bounds {what}; without an interval: {', '.join(names)}"

    def without(self, names: list[str], ask: Ask) -> str:
        """Say of estimators that they have no interval, and why where a declaration is all that they lack."""
        lacking = dict.fromkeys(option for name in names for option in self.undeclared(name, ask))
        return "; ".join([f"{self.says}; without an interval: {', '.join(names)}", *(WHY[one] for one in lacking)])


def _methods() -> list[Method]:
    both = {"ips": (), "dr": (LARGEST, PAST)}
    return [
        Method("normal", normal_bounds, folds=True),
        Method("bootstrap", bootstrap_bounds),
        Method("cressie_read", cressie_read_bounds, {"ips": (), "snips": ()}, ranged=True),
        Method("empirical_bernstein", bernstein_bounds, {"ips": (LARGEST,)}, ranged=True, exact=True),
        *(
            Method(name, partial(bounds_of, sequence), both, ("ips",), ranged=True, exact=True, ordered=True)
            for name, sequence in SEQUENCES.items()
        ),
    ]


METHODS: dict[str, Method] = {method.name: method for method in _methods()}


def interval_method(name: str, ask: Ask) -> Method:
    """Return the method of that name; raises InvalidRequest for an unknown one, or one whose range is not declared."""
    if name not in METHODS:
        raise InvalidRequest(f"unknown interval {name!r}; the methods are {', '.join(METHODS)}.")
    if METHODS[name].ranged and ask.within is None:
        raise InvalidRequest(
            f"--interval {name} needs --reward-range LO,HI: the rewards that can be, not those that were seen."
        )
    return METHODS[name]


def checked_level(level: float) -> float:
    """Return the level if it is a probability strictly between 0 and 1; else raise InvalidRequest."""
    if 0 < level < 1:
        return level
    raise InvalidRequest(f"level is {level}; it lies between 0 and 1, both excluded. Try 0.95.")
