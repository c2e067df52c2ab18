"""What was asked for: estimators by name, with the parameter of their weights or the rule that chooses it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ope.errors import InvalidRequest
from ope.estimators.member import Valued
from ope.estimators.paired import Paired
from ope.estimators.table import ESTIMATORS, MOST, Estimator
from ope.estimators.tuning import RULES
from ope.sums import Sums, W
from ope.terms import Term

WhyNot: TypeAlias = Callable[[Sequence[str]], str]
ALL = "all"
DEFAULT_RULE = "slope"


@dataclass(frozen=True, slots=True)
class Asked:
    """An estimator under the name that it was asked by.

    `rule` chooses among the members, where there are several. An ordered fold has none; `most` is the largest weight
    that it may meet, None for the largest in the log.
    """

    name: str
    estimator: Estimator
    members: tuple[Valued, ...]
    rule: str = ""
    most: float | None = None

    @property
    def needs(self) -> frozenset[str]:
        """The canonical columns that it reads beyond reward and weight."""
        return self.estimator.needs

    def over(self, *, slots: int, loggers: Sequence[str]) -> "Asked":
        """Return it for rankings of at most so many slots, or for these loggers."""
        if not (self.estimator.slots or self.estimator.by_logger):
            return self
        return replace(self, members=(self.estimator.over(slots=slots, loggers=loggers),))

    def paired(self) -> "Asked":
        """Return it as the difference of two policies over the same rows."""
        return replace(self, members=tuple(Paired(member) for member in self.members))

    @property
    def blocks(self) -> list[tuple[Term, ...]]:
        """The terms of each member, whose products are summed together; the mse rule reads the plain weight too."""
        plain = [(W,)] if self.rule == "mse" else []
        return [*(member.terms for member in self.members), *plain]

    def chosen(self, sums: Sums) -> tuple[Valued, str | None]:
        """Return the member to report, and what to say of the choice, None where there was none."""
        if not self.rule:
            return self.members[0], None
        member = self.members[RULES[self.rule](sums, self.members)]
        (weight, *_) = (term.weight for term in member.terms if term.kind != "d")
        chosen = f"λ = {weight.at:g}" if weight.transform else "the plain weights"
        return member, f"{self.name}: {self.rule} chose {chosen} of {len(self.members)} candidates"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The estimators of one evaluation; `given` says whether somebody named them, and so wants every one."""

    asked: tuple[Asked, ...]
    given: bool

    @property
    def predicted(self) -> bool:
        """Whether any of them reads predicted rewards."""
        return any(one.estimator.form.needs for one in self.asked)

    @property
    def of_rankings(self) -> bool:
        """Whether they judge rankings; raises InvalidRequest where only some of them do."""
        rankings = [one.name for one in self.asked if one.estimator.of_rankings]
        others = [one.name for one in self.asked if not one.estimator.of_rankings]
        if rankings and others:
            raise InvalidRequest(
                f"{rankings[0]} judges whole rankings and {others[0]} the choice of one action, with weights of their "
                "own; ask for them in two runs."
            )
        return bool(rankings)

    def allowed(
        self, columns: frozenset[str], *, where: str, slots: int, loggers: Sequence[str], why_not: WhyNot
    ) -> tuple[Asked, ...]:
        """Return those that the log's columns allow, for rankings of so many slots, or for these loggers.

        Raises InvalidRequest, saying why not, where a given one is not among them.
        """
        if not self.given:
            return tuple(one.over(slots=slots, loggers=loggers) for one in self.asked if one.needs <= columns)
        for one in self.asked:
            missing = sorted(one.needs - columns)
            if missing:
                raise InvalidRequest(f"{where}: estimator {one.name} needs {why_not(missing)}")
        return tuple(one.over(slots=slots, loggers=loggers) for one in self.asked)


def predictions_missing(columns: Sequence[str]) -> str:
    """Return which columns a log lacks, and where they may come from."""
    if "logger" in columns:
        return "the column that names each row's logger: --logger."
    if "balanced_propensity" in columns:
        return "--logger, and a column propensity_ID for each logger: the logged action's propensity under it."
    return (
        f"{' and '.join(columns)}, which the log does not have. Name the columns with --q-logged and --q-target; under "
        "--policy they come from predicted_rewards."
    )


def wanted(names: Sequence[str] | None, *, max_weight: float | None = None) -> Wanted:
    """Return the estimators of these names, for None those that are shown by default.

    A name may be followed by a colon and λ, or the rule that chooses it: `clipped_ips:10`, `dros:mse`. Without either
    `max_weight` says how far weights may go, and without that SLOPE++ does. `all` stands for every one
    that judges actions and that the columns allow.

    Raises InvalidRequest for a name that is not in the table, or a parameter that it cannot have.
    """
    if max_weight is not None and not 1 < max_weight < math.inf:
        raise InvalidRequest(f"--max-weight is {max_weight:g}; weights are bounded by a number above 1. Try 10.")
    shown = [one.name for one in ESTIMATORS.values() if one.by_default]
    if names is None or ALL in names:
        every = [one.name for one in ESTIMATORS.values() if not one.of_rankings]
        names, given = (shown if names is None else [*names, *every]), False
    else:
        given = True
    asked = dict.fromkeys(name for name in names if name != ALL)
    return Wanted(tuple(_asked(name, max_weight=max_weight) for name in asked), given=given)


def _asked(spec: str, *, max_weight: float | None) -> Asked:
    name, colon, parameter = spec.partition(":")
    estimator = ESTIMATORS.get(name)
    if estimator is None:
        raise InvalidRequest(f"unknown estimator {name!r}; the estimators are {', '.join(ESTIMATORS)}.")
    if estimator.kind == "ordered fold":
        return Asked(spec, estimator, (), most=_largest(spec, parameter) if colon else max_weight)
    if not estimator.transform:
        if colon:
            raise InvalidRequest(f"{spec}: {name} has no parameter; ask for {name}.")
        return Asked(spec, estimator, (estimator.up_to(math.inf),))
    if not colon and max_weight is not None:
        return Asked(spec, estimator, (estimator.up_to(max_weight),))
    rule = parameter or DEFAULT_RULE
    if rule in RULES:
        return Asked(spec, estimator, tuple(estimator.up_to(most) for most in (*MOST, math.inf)), rule)
    return Asked(spec, estimator, (estimator.at(_number(spec, parameter)),))


def _largest(spec: str, parameter: str) -> float:
    most = _number(spec, parameter)
    if 0 < most < math.inf:
        return most
    raise InvalidRequest(f"{spec}: the largest weight is a number above 0. With a uniform logger it is their number.")


def _number(spec: str, parameter: str) -> float:
    try:
        return float(parameter)
    except ValueError:
        rules = " nor ".join(RULES)
        name = spec.partition(":")[0]
        raise InvalidRequest(f"{spec}: {parameter!r} is neither a number nor {rules}; try {name}:slope.") from None
