"""What a report says in sentences; computes nothing."""

import math
from collections.abc import Sequence

from ope.evaluation import OF_COLUMNS, Estimate, Evaluation
from ope.report.html.plots import Mark
from ope.report.numbers import UNDEFINED, plain, together
from ope.report.table import PREFERRED

TONES = {"ok": "good", "warn": "warn", "refuse": "bad"}


EARNED = "reward per decision"


def policy_name(name: str) -> str:
    """Return what a target is called in a sentence."""
    return "the target" if name == OF_COLUMNS else name


def headline(estimates: Sequence[Estimate]) -> Estimate | None:
    """Return the estimate that stands for all: dr, snips or ips with an interval, else any with one, else any value."""
    ranked = sorted(estimates, key=lambda one: -PREFERRED.index(one.estimator) if one.estimator in PREFERRED else 1)
    bounded = [one for one in ranked if math.isfinite(one.value) and all(map(math.isfinite, one.interval))]
    valued = [one for one in ranked if math.isfinite(one.value)]
    return next(iter((*bounded, *valued)), None)


def earned(name: str, evaluation: Evaluation) -> str:
    """Return what a policy would have earned, and between what."""
    subject = "The target" if name == OF_COLUMNS else f"Policy {name}"
    best = headline(evaluation.estimates)
    if best is None:
        return f"What {subject[0].lower()}{subject[1:]} would have earned is undefined: no estimator has a value."
    value, low, high = told(best, digits=2)
    said = f"{subject} would have earned {value} per decision"
    if UNDEFINED in {low, high}:
        return f"{said} ({best.estimator}; without an interval)."
    return f"{said}, between {low} and {high} ({level(best)} interval, {best.estimator})."


def compared(name: str, evaluation: Evaluation) -> str:
    """Return how a policy differs from the other one, empty where nothing was compared."""
    itself = evaluation.against is not None and evaluation.against.policy == name
    best = None if evaluation.against is None or itself else headline(evaluation.against.estimates)
    if evaluation.against is None or best is None:
        return ""
    value, low, high = told(best, digits=2)
    words = "more" if best.value >= 0 else "less"
    said = f"That is {value.lstrip('−')} {words} than {evaluation.against.policy} on the same rows"
    if UNDEFINED in {low, high}:
        return f"{said} ({best.estimator}; without an interval)."
    between = f"the difference lying between {low} and {high} ({level(best)} interval, {best.estimator})"
    doubt = "" if best.interval[0] * best.interval[1] > 0 else " The log does not tell the two apart."
    return f"{said}, {between}.{doubt}"


def told(estimate: Estimate, *, digits: int = 3) -> list[str]:
    """Return value and bounds, to so many digits of that in which they differ."""
    return together([estimate.value, *estimate.interval], digits)


def between(estimate: Estimate) -> str:
    """Return the interval."""
    _, low, high = told(estimate)
    return f"{low} … {high}"


def mark(name: str, estimate: Estimate | None) -> Mark:
    """Return an estimate as it is drawn, under a name."""
    return Mark(name, None) if estimate is None else Mark(name, estimate.value, *estimate.interval)


def level(estimate: Estimate) -> str:
    """Return the level in percent."""
    return f"{plain(100 * estimate.level)}%"
