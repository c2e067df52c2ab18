"""Every threshold of the linter by its name, with the reasoning behind its value; compares nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ope.errors import InvalidRequest
from ope.rules import SUM_TOLERANCE

Limits: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A named number; `why` is the reasoning, and for a statistical test its false-alarm rate."""

    name: str
    value: float
    why: str


THRESHOLDS: tuple[Threshold, ...] = (
    Threshold("ess_warn", 100, "100 rows leave a tenth of the reward's spread as the error of an estimate"),
    Threshold("ess_refuse", 30, "below 30 the normal approximation itself fails, whatever the interval says"),
    Threshold("action_ess_warn", 10, "an action with less is judged by a handful of rows"),
    Threshold("segment_ess_warn", 30, "a segment with less has no interval of its own"),
    Threshold("action_share", 0.05, "actions with less of the weight are not judged alone"),
    Threshold("segment_share", 0.01, "segments with less of the weight are not judged alone"),
    Threshold("mean_weight_z", 4, "6e-5 of healthy logs are beyond it where the mean is normal"),
    Threshold("z_ess", 200, "with fewer effective rows the mean weight is not near normal, and z says nothing"),
    Threshold("pareto_k_warn", 0.7, "above it, and above 1 - 1/log10(n), means converge too slowly to be of use"),
    Threshold("pareto_k_refuse", 1.0, "from 1 on the weights have no finite mean"),
    Threshold("top_share_warn", 0.5, "1% of the rows then say as much as all the others"),
    Threshold("largest_share_warn", 0.05, "one row then moves the estimate by 5% of its reward"),
    Threshold("largest_share_refuse", 0.25, "one row then decides the estimate"),
    Threshold("support_warn", 0.001, "mass on what was never logged biases an estimate by up to it times the range"),
    Threshold("support_refuse", 0.01, "1% of the reward's range is more than most improvements"),
    Threshold(
        "alpha", 0.001, "each family of tests errs on at most this share of healthy logs, all its parts together"
    ),
    Threshold("seldom_ess", 100, "an action with fewer effective draws may have been rare; only too many draws tell"),
    Threshold(
        "sum_tolerance", SUM_TOLERANCE, "probabilities written with six digits, over a hundred actions, are off by less"
    ),
    Threshold("mismatch_tolerance", 1e-3, "relative; probabilities written with four digits are off by less"),
    Threshold(
        "no_exploration_warn", 0.9, "with so many rows of propensity 1, the others carry all that can be learned"
    ),
    Threshold("missing_warn", 0, "a decision without an outcome has no place in an evaluation; none may be dropped"),
    Threshold("missing_refuse", 0.01, "losing 1% of the outcomes can bias an estimate by 1% of the reward's range"),
    Threshold("gap_share", 0.25, "a period with less than this share of the usual rewards is no ordinary week"),
    Threshold("duplicate_warn", 0, "a decision counts once; every copy makes intervals too short"),
    Threshold("duplicate_refuse", 0.01, "1% of copies are no accident: they come from a join or a retry"),
    Threshold("disorder_warn", 0, "sequential tests and progressive evaluation consume rows in decision order"),
    Threshold("rewards_few_warn", 30, "with fewer rewards off the usual value no interval can be trusted"),
    Threshold("overlap_refuse", 0, "a policy judged on rewards that it learned from looks better than it is"),
    Threshold("q_bias_warn", 0.25, "of the reward's standard deviation: the direct method is off by as much"),
    Threshold("q_slope_warn", 0.5, "the reward moves by less than half, or more than twice, of what is predicted"),
)
DEFAULTS: Limits = {one.name: one.value for one in THRESHOLDS}


def limits(overrides: Sequence[str]) -> Limits:
    """Return all thresholds, with the `NAME=VALUE` of overrides in place of their defaults.

    Raises InvalidRequest for a name that is not in the table and a value that is no number >= 0.
    """
    given = DEFAULTS.copy()
    for override in overrides:
        name, _, text = override.partition("=")
        if name not in DEFAULTS:
            raise InvalidRequest(f"unknown threshold {name!r}; the thresholds are {', '.join(DEFAULTS)}.")
        given[name] = _number(name, text)
    return given


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= 0:
        return value
    raise InvalidRequest(
        f"threshold {name} is {text!r}; it is a number from 0 on. Try --threshold {name}={DEFAULTS[name]:g}."
    )
