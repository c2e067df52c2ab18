"""Continuous actions: the weight of an action near the target's, by a kernel; any engine."""

import math

import narwhals as nw

from ope.against import LOGGED
from ope.errors import InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, carried, number, predictions, require
from ope.weights import AGAINST

ACTION = "action"
OTHER_ACTION = f"{AGAINST}action"


def checked_bandwidth(bandwidth: float | None, *, target_action: str | None) -> float | None:
    """Return the bandwidth, which comes with a target action or not at all; else raise InvalidRequest."""
    if (bandwidth is None) != (target_action is None):
        raise InvalidRequest(
            "--target-action and --bandwidth belong together: the column of the target's action, a number, and how "
            "far from it a logged one still counts."
        )
    if bandwidth is not None and not 0 < bandwidth < math.inf:
        raise InvalidRequest(f"--bandwidth is {bandwidth:g}; it is a number above 0, in the unit of the actions.")
    return bandwidth


def kernel_rows(
    source: Source, columns: Columns, *, bandwidth: float, predicted: bool, against: str | None = None
) -> Rows:
    """Return canonical rows whose weight is K((a − t)/h) / (h f), a the logged action, t the target's, f its density.

    Kallus and Zhou 2018, with Epanechnikov's kernel K(u) = ¾ (1 − u²) on [−1, 1]. `propensity` is the density
    f(a|x) of the logger; `target_propensity` becomes K/h, the target's density smoothed by the kernel. `against` is
    `logged` or the column of the other policy's action.

    Raises InvalidRequest for a column that is not there, InvalidLog for one that holds no numbers.
    """
    origin = {
        "reward": columns.reward,
        "density": columns.propensity,
        "logged_action": ACTION,
        "target_action": columns.target_action or ACTION,
    }
    options = ("--reward", "--propensity", ACTION, "--target-action")
    for column, option in zip(origin.values(), options, strict=True):
        require(source, column, option=option)
    if predicted:
        origin |= predictions(source, columns)
    origin |= _others(source, columns, against, predicted=predicted)
    also = [expression.alias(name) for name, expression in carried(source).items()]
    frame = source.frame.select(*(number(source, column).alias(name) for name, column in origin.items()), *also)
    smoothed = {"target_propensity": _smoothed("target_action", bandwidth)}
    if against is not None:
        theirs = nw.col("density") if against == LOGGED else _smoothed(OTHER_ACTION, bandwidth)
        smoothed[f"{AGAINST}target_propensity"] = theirs
    named = frame.with_columns(propensity=nw.col("density"), **smoothed)
    return Rows(source=source, frame=named, origin=origin)


def _others(source: Source, columns: Columns, against: str | None, *, predicted: bool) -> dict[str, str]:
    if against is None:
        return {}
    q = columns.q_logged if against == LOGGED else columns.q_against
    found = {OTHER_ACTION: ACTION if against == LOGGED else against}
    require(source, found[OTHER_ACTION], option="--against")
    if predicted and q in source.columns:
        found[f"{AGAINST}q_target"] = str(q)
    return found


def _smoothed(action: str, bandwidth: float) -> nw.Expr:
    u = (nw.col("logged_action") - nw.col(action)) / bandwidth
    return nw.when((u >= -1) & (u <= 1)).then((1 - u * u) * (0.75 / bandwidth)).otherwise(0.0)
