"""Agreement with the textbook formulas in numpy, and of the engines with one another."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ope.evaluate import evaluate_frame

RNG = np.random.default_rng(20)
N = 5_000
LOG = {
    "reward": RNG.normal(1, 2, N),
    "propensity": RNG.uniform(0.05, 1, N),
    "target_propensity": RNG.uniform(0, 1, N),
    "q_logged": RNG.normal(1, 1, N),
    "q_target": RNG.normal(1, 1, N),
}


def textbook(log):
    """Return {estimator: (value, stderr)} by the direct formulas."""
    r, q, d = log["reward"], log["q_logged"], log["q_target"]
    w = log["target_propensity"] / log["propensity"]
    means = {"ips": w * r, "dm": d, "dr": d + w * (r - q)}
    found = {name: (x.mean(), x.std(ddof=1) / np.sqrt(len(x))) for name, x in means.items()}
    v = (w * r).sum() / w.sum()
    return found | {"snips": (v, np.sqrt((w**2 * (r - v) ** 2).sum()) / w.sum())}


def judged(frame):
    """Return the evaluation of the single target."""
    (evaluation,) = evaluate_frame(frame).values()
    return evaluation


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pl.DataFrame(LOG), id="polars"),
        pytest.param(pl.LazyFrame(LOG), id="polars lazy"),
        pytest.param(pd.DataFrame(LOG), id="pandas"),
        pytest.param(pl.DataFrame(LOG).to_arrow(), id="pyarrow"),
    ],
)
def test_engines_agree_with_numpy(frame):
    """Values, errors and diagnostics are numpy's to 1e-12 on every engine."""
    evaluation = judged(frame)
    expected = textbook(LOG)
    assert {one.estimator for one in evaluation.estimates} == set(expected)
    for one in evaluation.estimates:
        assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-12)
    w = LOG["target_propensity"] / LOG["propensity"]
    found = evaluation.diagnostics
    z = (w.mean() - 1) / (w.std(ddof=1) / np.sqrt(N))
    assert (found.ess, found.mean_weight_z) == pytest.approx((w.sum() ** 2 / (w**2).sum(), z), rel=1e-11)
    assert (found.max_weight, found.mean_weight) == pytest.approx((w.max(), w.mean()), rel=1e-13)


def test_integer_and_boolean_rewards():
    """Clicks as 0/1 integers or as booleans give the same numbers as floats."""
    clicks = np.arange(N) % 3 == 0
    frames = [pl.DataFrame(LOG).with_columns(reward=pl.Series(clicks).cast(kind)) for kind in (pl.Float64, pl.Int8)]
    frames.append(pl.DataFrame(LOG).with_columns(reward=pl.Series(clicks)))
    assert len({judged(frame).estimates[0].value for frame in frames}) == 1


def test_sums_are_known_beyond_the_head():
    """An outlier among the first rows, from which the sums are centred, costs no digits that matter."""
    log = LOG | {"reward": np.concatenate([[1e9], LOG["reward"][1:]])}
    expected = textbook(log)
    for one in judged(pl.DataFrame(log)).estimates:
        assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-11)
