"""The gate's rules that are findings of the linter, put together by what they say of a log."""

from dataclasses import dataclass
from typing import Literal

from ope.diagnostics.findings import BADNESS, Finding, Lint, Severity
from ope.gate.verdict import Rule


@dataclass(frozen=True, slots=True)
class Group:
    """A rule over findings: one as severe as `refuse` breaks it, and one of `strict` as severe as `warn`."""

    name: str
    codes: tuple[str, ...]
    says: str
    otherwise: Literal["hold", "refuse"] = "refuse"
    strict: tuple[str, ...] = ()

    def judge(self, lint: Lint) -> Rule:
        """Return the rule as it came out: the worst finding speaks for it."""
        found = [one for one in lint.findings if one.code in self.codes]
        broken = [one for one in found if self.is_broken_by(one)]
        return self._broken(broken) if broken else self._held(lint, found)

    def is_broken_by(self, one: Finding) -> bool:
        """Say whether a finding breaks the rule."""
        least: Severity = "warn" if one.code in self.strict else "refuse"
        return one.code in self.codes and BADNESS[one.severity] >= BADNESS[least]

    def _broken(self, broken: list[Finding]) -> Rule:
        worst = broken[0]
        more = "".join(f" Also {one.code}: {one.says}" for one in broken[1:3])
        return Rule(
            self.name,
            sentence(worst.says) + more,
            holds=False,
            otherwise=self.otherwise,
            value=worst.value,
            threshold=worst.threshold,
            way_out=worst.way_out or "Mend the log, and ask again.",
            because=tuple(dict.fromkeys(one.code for one in broken)),
        )

    def _held(self, lint: Lint, found: list[Finding]) -> Rule:
        if len(self.codes) > 1:
            return Rule(self.name, self.says, holds=True, otherwise=self.otherwise)
        unknown = [one for one in lint.unknown if one.code in self.codes]
        if unknown or not found:
            why = f" The log cannot tell: {unknown[0].why}" if unknown else ""
            return Rule(self.name, f"Not rejected.{why}", holds=True, otherwise=self.otherwise)
        one = found[0]
        says = sentence(one.says)
        return Rule(self.name, says, holds=True, otherwise=self.otherwise, value=one.value, threshold=one.threshold)


def sentence(says: str) -> str:
    """Return what a finding says with a capital letter."""
    return says[:1].upper() + says[1:]


ROWS = Group(
    "rows",
    (
        "file_unreadable",
        "row_broken",
        "column_missing",
        "column_type",
        "no_rows",
        "propensity_missing",
        "propensity_zero",
        "propensity_above_one",
        "row_weight_invalid",
        "target_invalid",
        "reward_invalid",
        "reward_range",
        "distribution_invalid",
        "distribution_sum",
        "action_impossible",
        "propensity_mismatch",
    ),
    "Every row keeps the rules for single rows.",
)
OF_THE_LOG = (
    Group(
        "propensities",
        ("argmax_logged", "overexplored", "calibration", "propensity_constant", "no_exploration"),
        "Actions were drawn as their propensities say, as far as the log tells.",
    ),
    Group("support", ("support_deficit",), ""),
    Group("mean_weight", ("mean_weight",), ""),
    Group(
        "join",
        ("rewards_missing", "reward_gap", "reward_constant"),
        "Every decision that is old enough has its outcome.",
        strict=("rewards_missing",),
    ),
    Group("identity", ("duplicates", "mixed_loops"), "Each row is one decision of one loop."),
)
FEW_ROWS = Group(
    "few_rows", ("largest_weight", "weight_tail"), "No handful of rows decides, as far as the log tells.", "hold"
)
NOT_RULES = (
    "no_decision",
    "row_weights",
    "ess",
    "top_share",
    "action_ess",
    "segment_ess",
    "rewards_immature",
    "rewards_few",
    "disorder",
    "action_missing",
    "time_invalid",
    "id_missing",
    "q_logged_invalid",
    "q_target_invalid",
    "q_bias",
    "q_slope",
)
"""Findings that are shown and decide nothing here: warnings, and what the gate has rules of its own about."""
