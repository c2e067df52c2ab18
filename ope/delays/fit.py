"""Which estimators may be asked of logs whose rewards were filled in or weighed; estimates nothing."""

from ope.delays.asked import BOUNDS, REFUSE
from ope.errors import InvalidRequest
from ope.estimators.asked import Asked
from ope.estimators.table import DM, DR, IPS, SNDR, SNIPS

_RISING = (IPS, SNIPS, DR, SNDR)
"""Forms that are linear in the rewards, with coefficients w/n or w/Σw: never falling, for weights of at least 0."""


def fitting(asked: tuple[Asked, ...], way: str, *, given: bool) -> tuple[tuple[Asked, ...], list[str]]:
    """Return the estimators that the way is valid for, and what to say of the others.

    Raises InvalidRequest where one of the others was asked for by name.
    """
    if way == REFUSE:
        return asked, []
    unfit = {one.name: why for one in asked if (why := why_not(one, way)) is not None}
    notes = [f"left out {name}: {why}" for name, why in unfit.items()]
    if unfit and (given or len(unfit) == len(asked)):
        name, why = next(iter(unfit.items()))
        raise InvalidRequest(f"--unresolved {way}: {name} {why}. Ask for --estimators ips,snips.")
    return tuple(one for one in asked if one.name not in unfit), notes


def why_not(asked: Asked, way: str) -> str | None:
    """Return in words why an estimator is not valid with a way to count open decisions, None where it is."""
    if asked.needs & {"reward:0", "cascade_dr"}:
        return "reads the rewards of slots, and when these came is not known"
    return _why_not_bounded(asked) if way == BOUNDS else None


def _why_not_bounded(asked: Asked) -> str | None:
    estimator = asked.estimator
    if estimator.kind == "ordered fold":
        return None  # which rows are kept depends on the weights alone, and the value is their mean reward
    if asked.rule:
        return f"chooses its weights by the rewards, so that more reward may lower it; give λ, as {asked.name}:10"
    if estimator.form == DM:
        return "is of predicted rewards alone, in which an open decision does not show"
    if estimator.by_logger or estimator.form not in _RISING:
        return "has a coefficient that depends on the rewards, so that more reward may lower it"
    if estimator.column == "pseudo":
        return "has weights below 0, so that more reward may lower it"
    return None
