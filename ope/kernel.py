"""Continuous actions: the weight of an action near the target's, by a kernel; any engine."""

import math

import narwhals as nw

from ope.errors import InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, carried, number, predictions, require

ACTION = "action"


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


def kernel_rows(source: Source, columns: Columns, *, bandwidth: float, predicted: bool) -> Rows:
    """Return canonical rows whose weight is K((a − t)/h) / (h f), a the logged action, t the target's, f its density.

    Kallus and Zhou 2018, with Epanechnikov's kernel K(u) = ¾ (1 − u²) on [−1, 1]. `propensity` is the density
    f(a|x) of the logger; `target_propensity` becomes K/h, the target's density smoothed by the kernel.

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
    also = [expression.alias(name) for name, expression in carried(source).items()]
    frame = source.frame.select(*(number(source, column).alias(name) for name, column in origin.items()), *also)
    u = (nw.col("logged_action") - nw.col("target_action")) / bandwidth
    smoothed = nw.when((u >= -1) & (u <= 1)).then((1 - u * u) * (0.75 / bandwidth)).otherwise(0.0)
    named = frame.with_columns(propensity=nw.col("density"), target_propensity=smoothed)
    return Rows(source=source, frame=named, origin=origin)
