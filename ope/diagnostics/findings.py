"""What the linter says of a log, as frozen values; judges nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ope.weight_bins import WeightBins

Severity: TypeAlias = Literal["ok", "warn", "refuse"]
BADNESS: dict[Severity, int] = {"ok": 0, "warn": 1, "refuse": 2}


@dataclass(frozen=True, slots=True)
class Where:
    """What a finding is about; None is the whole log. `rows` are the first ones, counted from 1 in `file`."""

    file: str | None = None
    rows: tuple[int, ...] = ()
    column: str | None = None
    action: str | None = None
    segment: str | None = None
    period: str | None = None
    policy: str | None = None


EVERYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of one check.

    `value` was compared with `threshold`, which decided `severity`; either is None where the check
    counts nothing. `says` is what it means, `way_out` how to mend the logging (empty for `ok`), and
    `because` the code of a finding that explains this one and is at least as severe.
    """

    code: str
    severity: Severity
    value: float | None
    threshold: float | None
    says: str
    way_out: str = ""
    where: Where = EVERYWHERE
    because: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question that the log cannot answer, and why: neither passed nor failed."""

    code: str
    why: str
    policy: str | None = None


Answer: TypeAlias = Finding | Unknown


@dataclass(frozen=True, slots=True)
class Worth:
    """How many effective rows a value of a column has for a target, and which share of the weight it carries."""

    name: str | None
    rows: float
    share: float


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen of a target's weights: their histogram, and what each value of a column is worth."""

    policy: str
    weights: WeightBins
    by: tuple[tuple[str, tuple[Worth, ...]], ...]


@dataclass(frozen=True, slots=True)
class Lint:
    """All that was found in `n` rows: findings worst first, `ok` ones last, and what could not be asked.

    `views` are of each target, for who wants to look.
    """

    n: int
    files: tuple[str, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]
    views: tuple[View, ...] = ()

    @property
    def verdict(self) -> Severity:
        """The worst severity."""
        return max((one.severity for one in self.findings), key=BADNESS.__getitem__, default="ok")

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of this severity or a worse one."""
        return tuple(one for one in self.findings if BADNESS[one.severity] >= BADNESS[severity])


def grade(
    value: float, *, warn: float | None = None, refuse: float | None = None, low: bool = False
) -> tuple[Severity, float | None]:
    """Return the severity of a value and the threshold that decided; beyond is above, or below with `low`."""
    sign = -1 if low else 1
    if refuse is not None and sign * value > sign * refuse:
        return "refuse", refuse
    if warn is not None and sign * value > sign * warn:
        return "warn", warn
    return "ok", warn if warn is not None else refuse


CONCENTRATION = ("largest_weight", "weight_tail", "ess", "top_share", "action_ess", "segment_ess")
"""Six views of one thing, few rows that decide: the first of the worst stands for all."""
CAUSES: dict[str, tuple[str, ...]] = {
    "calibration": (
        "argmax_logged",
        "overexplored",
        "propensity_constant",
        "propensity_mismatch",
        "distribution_sum",
        "action_impossible",
    ),
    "propensity_mismatch": ("distribution_sum",),
    "propensity_missing": ("column_missing",),
    "argmax_logged": ("distribution_sum",),
    "overexplored": ("distribution_sum", "action_impossible"),
    "mean_weight": (
        "argmax_logged",
        "overexplored",
        "propensity_constant",
        "propensity_mismatch",
        "distribution_sum",
        "calibration",
        "action_impossible",
        "support_deficit",
        "no_exploration",
    ),
    "reward_constant": ("rewards_missing", "reward_invalid"),
    "rewards_few": ("reward_constant", "rewards_missing"),
    "rewards_missing": ("column_missing",),
    "reward_gap": ("rewards_missing", "rewards_immature"),
}
"""What may explain a finding: consequences stand in the report beside their cause, not as faults of their own."""


def explained(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings with their causes named, worst first and roots before consequences."""
    told = [replace(one, because=_cause(one, findings)) for one in findings]
    return tuple(sorted(told, key=lambda one: (-BADNESS[one.severity], one.because is not None)))


def _cause(one: Finding, findings: Sequence[Finding]) -> str | None:
    near = [other for other in findings if other.where.policy in {None, one.where.policy}]
    worst = {other.code: BADNESS[other.severity] for other in sorted(near, key=lambda other: BADNESS[other.severity])}
    if one.severity == "ok":
        return None
    if one.code in CONCENTRATION:
        root = max(CONCENTRATION, key=lambda code: worst.get(code, 0))  # the first of the worst
        return None if root == one.code else root
    causes = CAUSES.get(one.code, ())
    return next((cause for cause in causes if worst.get(cause, 0) >= BADNESS[one.severity]), None)
