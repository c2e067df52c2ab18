"""Continuous actions: the kernel's weights by hand, in numpy, and on simulated logs whose truth is known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import textbook

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_frame
from ope.frames import Columns
from ope.question import Question

COLUMNS = Columns(target_action="chosen")


def judged(frame, bandwidth=0.5, **options):
    """Return {estimator: estimate} of a log of numeric actions."""
    (evaluation,) = evaluate_frame(frame, Question(columns=COLUMNS, bandwidth=bandwidth, **options)).values()
    return {one.estimator: one for one in evaluation.estimates}


def simulated(rows, seed):
    """Draw actions from N(0, 1) and rewards with mean 1 − (a − x)²/4; the target chooses x/2."""
    rng = np.random.default_rng(seed)
    x, action = rng.uniform(-1, 1, rows), rng.normal(size=rows)
    return {
        "action": action,
        "chosen": x / 2,
        "propensity": np.exp(-(action**2) / 2) / np.sqrt(2 * np.pi),
        "reward": 1 - (action - x) ** 2 / 4 + rng.normal(0, 0.3, rows),
        "q_logged": 0.9 - (action - x) ** 2 / 4,
        "q_target": 0.9 - x**2 / 16,
    }


TRUTH = 1 - 1 / 48  # E x² = 1/3


def weights(log, bandwidth):
    """Return the kernel's weights."""
    u = (log["action"] - log["chosen"]) / bandwidth
    return np.where(np.abs(u) <= 1, 0.75 * (1 - u**2), 0) / bandwidth / log["propensity"]


def test_by_hand():
    """At distance 0, half a bandwidth and beyond it: ¾, ¾·¾ and nothing, over bandwidth and density."""
    log = pl.DataFrame(
        {"action": [1.0, 1.25, 9.0], "chosen": [1.0] * 3, "propensity": [0.5, 3.0, 0.1], "reward": [1.0, 2.0, 4.0]}
    )
    assert judged(log)["ips"].value == pytest.approx((0.75 / 0.5 / 0.5 + 2 * 0.5625 / 0.5 / 3) / 3)


@pytest.mark.parametrize(
    "make", [pl.DataFrame, pl.LazyFrame, pd.DataFrame, dict, lambda log: pl.DataFrame(log).to_arrow()]
)
def test_engines_agree_with_numpy(make):
    """Every form has the kernel's weights, on every engine."""
    log = simulated(2_000, 41)
    expected = textbook.forms(weights(log, 0.5), log)
    found = judged(make(log), estimators=list(expected))
    for name, one in found.items():
        assert (one.value, one.stderr) == pytest.approx(expected[name], rel=1e-11), name


def test_the_truth_is_found():
    """Each form of 40,000 rows lies within 5 standard errors, and the kernel's bias of h²/5 · |curvature|/2, of it.

    The reward's curvature is −½, so at h = 0.3 the bias is −0.3²/5/4 = −0.0045. One false alarm in 400,000 runs.
    """
    for name, one in judged(simulated(40_000, 42), 0.3, estimators=["ips", "snips", "dr", "sndr"]).items():
        assert abs(one.value + 0.0045 - TRUTH) < 5 * one.stderr + 0.001, name
        assert one.stderr < 0.02


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("propensity", 0.0, "propensity is 0.0; the logged action's density is above 0"),
        ("propensity", float("inf"), "propensity is inf; the logged action's density is above 0"),
        ("action", float("nan"), "action is nan; an action is a finite number"),
        ("chosen", None, "chosen is None; an action is a finite number"),
        ("reward", float("nan"), "reward is nan"),
        ("q_logged", float("inf"), "q_logged is inf"),
    ],
)
def test_bad_rows(column, value, says):
    """A density may exceed 1; what is no number is refused with its row."""
    log = pl.DataFrame(simulated(5, 43)).with_columns(propensity=pl.lit(7.0))
    values = log[column].to_list()
    values[1] = value
    with pytest.raises(InvalidLog, match="row 2: ") as caught:
        judged(log.with_columns(pl.Series(column, values, dtype=pl.Float64)))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        (COLUMNS, {}, "--target-action and --bandwidth belong together"),
        (Columns(), {"bandwidth": 1.0}, "--target-action and --bandwidth belong together"),
        (COLUMNS, {"bandwidth": 0.0}, "--bandwidth is 0; it is a number above 0"),
        (COLUMNS, {"bandwidth": 1.0, "policies": ["uniform"]}, "two answers to one question"),
        (Columns(target_action="gone"), {"bandwidth": 1.0}, "there is no column 'gone'"),
        (COLUMNS, {"bandwidth": 1.0, "estimators": ["sips"]}, "a ranking of them is not judged"),
    ],
)
def test_wrong_questions(columns, options, says):
    """A bandwidth and a target's action come together."""
    with pytest.raises(InvalidRequest, match=says):
        evaluate_frame(pl.DataFrame(simulated(5, 44)), Question(columns=columns, **options))
