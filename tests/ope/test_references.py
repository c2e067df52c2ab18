"""Agreement with the textbook formulas in numpy, and of the engines with one another."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import textbook
from scipy import stats

from ope.estimators.table import ESTIMATORS, MOST
from ope.evaluate import evaluate_frame
from ope.question import Question
from ope.weights import TRANSFORMS

RNG = np.random.default_rng(20)
N = 5_000
LOG = {
    "reward": RNG.normal(1, 2, N),
    "propensity": RNG.uniform(0.05, 1, N),
    "target_propensity": RNG.uniform(0, 1, N) * (RNG.random(N) > 0.1),  # some weights are 0
    "q_logged": RNG.normal(1, 1, N),
    "q_target": RNG.normal(1, 1, N),
}
W = LOG["target_propensity"] / LOG["propensity"]
PARAMETERS = {"clipped": 2.5, "switch": 3, "os": 7, "sg": 0.25}
EXPECTED = textbook.plain(LOG) | textbook.tamed(LOG, PARAMETERS)
ENGINES = [
    pytest.param(pl.DataFrame(LOG), id="polars"),
    pytest.param(pl.LazyFrame(LOG), id="polars lazy"),
    pytest.param(pd.DataFrame(LOG), id="pandas"),
    pytest.param(pl.DataFrame(LOG).to_arrow(), id="pyarrow"),
    pytest.param(duckdb.from_arrow(pl.DataFrame(LOG).to_arrow()), id="duckdb"),
    pytest.param(LOG, id="numpy arrays"),
]


def judged(frame, estimators=None):
    """Return the evaluation of the single target."""
    (evaluation,) = evaluate_frame(frame, Question(estimators=estimators)).values()
    return evaluation


def by_name(frame, estimators):
    """Return {estimator: (value, stderr)}."""
    return {one.estimator: (one.value, one.stderr) for one in judged(frame, estimators).estimates}


def test_the_textbook_has_every_estimator():
    """What follows compares the whole table, as far as it needs no columns of its own."""
    of_actions = {one.name for one in ESTIMATORS.values() if not one.own}
    assert {name.partition(":")[0] for name in EXPECTED} == of_actions


@pytest.mark.parametrize("frame", ENGINES)
def test_engines_agree_with_numpy(frame):
    """Values, errors and diagnostics are numpy's to 1e-12 on every engine, for every estimator."""
    found = by_name(frame, list(EXPECTED))
    assert list(found) == list(EXPECTED)
    for name, (value, stderr) in found.items():
        assert value == pytest.approx(EXPECTED[name][0], rel=1e-12), name
        assert stderr == pytest.approx(EXPECTED[name][1], rel=1e-12), name
    diagnosed = judged(frame).diagnostics
    z = (W.mean() - 1) / (W.std(ddof=1) / np.sqrt(N))
    assert (diagnosed.ess, diagnosed.mean_weight_z) == pytest.approx((W.sum() ** 2 / (W**2).sum(), z), rel=1e-11)
    assert (diagnosed.max_weight, diagnosed.mean_weight) == pytest.approx((W.max(), W.mean()), rel=1e-13)


@pytest.mark.parametrize("frame", ENGINES)
def test_engines_choose_alike(frame):
    """The choice of a parameter, and what it gives, do not depend on the engine."""
    names = [f"{name}:{rule}" for name in ("clipped_ips", "switch_sndr", "dros", "sg_dr") for rule in ("slope", "mse")]
    expected = by_name(pl.DataFrame(LOG), names)
    for name, found in by_name(frame, names).items():
        assert found == pytest.approx(expected[name], rel=1e-12), name


def candidates(transform):
    """Return λ of each candidate, None for the plain weights, and the weights it gives."""
    tamed = [TRANSFORMS[transform].bound(most) for most in MOST]
    return [*((at, textbook.tame(W, transform, at)) for at in tamed), (None, W)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("rule", ["slope", "mse"])
@pytest.mark.parametrize("scale", [1, 1 / 40])
def test_the_choice_is_the_papers(transform, rule, scale):
    """SLOPE++ and the bound on the mean squared error choose what the papers' own formulas choose, in DR form."""
    log = LOG | {"reward": LOG["reward"] * scale, "propensity": LOG["propensity"] * scale}
    weights = [
        (at, w / scale if at is None else textbook.tame(W / scale, transform, at)) for at, w in candidates(transform)
    ]
    residual = log["reward"] - log["q_logged"]
    rows = [log["q_target"] + w * residual for _, w in weights]
    if rule == "slope":
        reach = stats.t(N - 1).ppf(0.9)
        best = textbook.slope([x.mean() for x in rows], [reach * np.sqrt(x.var() / (N - 1)) for x in rows])
    else:
        plain = W / scale
        bounds = [textbook.mse_bound(x, (plain - w) * residual, plain) for x, (_, w) in zip(rows, weights, strict=True)]
        best = int(np.argmin(bounds))
    name = "dros" if transform == "os" else f"{transform}_dr"
    evaluation = judged(pl.DataFrame(log), [f"{name}:{rule}"])
    chosen = "the plain weights" if weights[best][0] is None else f"λ = {weights[best][0]:g}"
    assert evaluation.notes == (f"{name}:{rule}: {rule} chose {chosen} of 13 candidates",)
    assert evaluation.estimates[0].value == pytest.approx(rows[best].mean(), rel=1e-9)


def test_integer_and_boolean_rewards():
    """Clicks as 0/1 integers or as booleans give the same numbers as floats."""
    clicks = np.arange(N) % 3 == 0
    frames = [pl.DataFrame(LOG).with_columns(reward=pl.Series(clicks).cast(kind)) for kind in (pl.Float64, pl.Int8)]
    frames.append(pl.DataFrame(LOG).with_columns(reward=pl.Series(clicks)))
    assert len({judged(frame).estimates[0].value for frame in frames}) == 1


def test_sums_are_known_beyond_the_head():
    """An outlier among the first rows, from which the sums are centred, costs no digits that matter."""
    log = LOG | {"reward": np.concatenate([[1e9], LOG["reward"][1:]])}
    expected = textbook.plain(log)
    for name, found in by_name(pl.DataFrame(log), list(expected)).items():
        assert found == pytest.approx(expected[name], rel=1e-11), name
