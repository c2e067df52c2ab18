"""What the propensity audit found, in numbers and in words; no test is run here."""

import math
from typing import Literal, TypeAlias

import msgspec

TestName: TypeAlias = Literal["action", "weight", "explored", "sharpness", "contradiction"]

LARGEST_E = 1e300
"""An e-value beyond it is reported as this."""

WAY_OUT = (
    "What served this loop did not draw with the probabilities that it logged: do not estimate, compare or gate "
    "policies on its decisions. Look for another program that writes to the data folder, a changed installation, or a "
    "caller that knows the loop's secret and picks its decision ids; set exploration.mode to 'baseline' until it is "
    "found, and export with --since the moment it was mended"
)


class Finding(msgspec.Struct, frozen=True):
    """One test as it stands.

    `action` is null where the test is not of one action, or of all those together that have no place of their own.
    Of `draws` that could have come out otherwise, `observed` and `expected` are the sums; the test alarms when they are
    more than `bound` apart (null for weights, whose bound depends on more), that is, when `e_value` reaches `alarm_at`.
    """

    test: TestName
    slot: int
    action: str | None
    draws: int
    observed: float
    expected: float
    bound: float | None
    e_value: float
    alarm_at: float


class Alarm(msgspec.Struct, frozen=True):
    """A test that alarmed: when it was noticed, by `position` and time `at` of the newest audited decision, and why."""

    test: TestName
    slot: int
    action: str | None
    position: int
    at: int
    e_value: float
    message: str


def e_value(log_evidence: float) -> float:
    """Return the e-value of a logarithm, at most `LARGEST_E`."""
    return math.exp(min(log_evidence, math.log(LARGEST_E)))


def message(finding: Finding, alpha: float) -> str:
    """Say what is wrong and what to do."""
    return f"{_SENTENCES[finding.test](finding)}. A right log ever does this in at most {alpha:g} of loops. {WAY_OUT}"


def contradiction(decision_id: str, slot: int, action: str) -> str:
    """Say that a decision's draw cannot have been made, and what to do."""
    return (
        f"decision {decision_id!r} has {action!r} in slot {slot}, which its logged probabilities do not allow or do "
        f"not agree with. {WAY_OUT}"
    )


def _action(f: Finding) -> str:
    who = "the actions that share a test were" if f.action is None else f"action {f.action!r} was"
    return (
        f"{who} served {f.observed:,.0f} times in the first slot, where the logged propensities of {f.draws:,} "
        f"decisions add up to {f.expected:,.1f}; chance keeps within {f.bound or 0:,.1f} of that"
    )


def _weight(f: Finding) -> str:
    mean = f.observed / f.expected
    served = "likely actions are served more often" if mean < 1 else "unlikely actions are served more often"
    return (
        f"the mean importance weight against uniform of slot {f.slot} is {mean:.4g} over {f.draws:,} draws, where a "
        f"right log has 1: {served} than their propensities say"
    )


def _explored(f: Finding) -> str:
    return (
        f"slot {f.slot} explored {f.observed:,.0f} times in {f.draws:,} draws, where the logged probabilities of "
        f"exploring add up to {f.expected:,.1f}; chance keeps within {f.bound or 0:,.1f} of that"
    )


def _sharpness(f: Finding) -> str:
    more = "more" if f.observed > f.expected else "less"
    return (
        f"the propensities of what the first slot served add up to {f.observed:,.1f} over {f.draws:,} decisions, where "
        f"{f.expected:,.1f} was to be expected: likely actions are served {more} often than their propensities say"
    )


_SENTENCES = {"action": _action, "weight": _weight, "explored": _explored, "sharpness": _sharpness}
