"""Replay: which rows are kept, in their order, and what that says."""

import numpy as np
import polars as pl
import pytest

from ope.errors import InvalidRequest
from ope.estimators.replay import Replay
from ope.evaluate import evaluate_files, evaluate_frame
from ope.question import Question

RNG = np.random.default_rng(71)
N = 4_000
LOG = pl.DataFrame(
    {
        "reward": RNG.normal(1, 2, N),
        "propensity": RNG.choice([0.25, 0.5, 1.0], N),
        "target_propensity": RNG.uniform(0, 1, N),
    }
)


def replay(frame, name="replay", **options):
    """Return the evaluation by replay, and its estimate."""
    (evaluation,) = evaluate_frame(frame, Question(estimators=[name], **options)).values()
    return evaluation, evaluation.estimates[0]


def test_rows_in_which_both_chose_the_same():
    """A uniform logger over 2 and a target that never draws: the kept rewards are 1, 2 and 6."""
    log = pl.DataFrame(
        {"reward": [1.0, 9.0, 2.0, 9.0, 6.0], "propensity": 0.5, "target_propensity": [1.0, 0.0, 1.0, 0.0, 1.0]}
    )
    evaluation, found = replay(log)
    assert found.value == pytest.approx(3.0)
    assert found.stderr == pytest.approx(np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    assert evaluation.notes == ("replay: kept 3 of 5 rows, for weights of at most 2",)


def test_a_random_target():
    """Rows are kept with w/M, by the first numbers of the seeded generator, which anybody can draw again."""
    w = (LOG["target_propensity"] / LOG["propensity"]).to_numpy()
    kept = LOG["reward"].to_numpy()[np.random.default_rng(0).random(N) * 5 < w]
    _, found = replay(LOG, "replay:5")
    assert (found.value, found.stderr) == pytest.approx((kept.mean(), kept.std(ddof=1) / np.sqrt(len(kept))), rel=1e-12)


def test_it_estimates_the_value():
    """The kept rows are as if the target had logged: their mean lies within 5 errors (1 false alarm in 1.7 million)."""
    rng = np.random.default_rng(72)
    logging, target, means = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7]), np.array([0.2, 0.5, 0.9])
    arm = rng.choice(3, 20_000, p=logging)
    log = {"reward": rng.binomial(1, means[arm]), "propensity": logging[arm], "target_propensity": target[arm]}
    _, found = replay(log)
    assert abs(found.value - target @ means) < 5 * found.stderr < 0.05


@pytest.mark.parametrize("cut", [1, 77, N - 1])
def test_wherever_the_log_is_cut(tmp_path, cut):
    """Files are one log, read in their order."""
    LOG[:cut].write_parquet(tmp_path / "a.parquet")
    LOG[cut:].write_parquet(tmp_path / "b.parquet")
    [found] = evaluate_files(sorted(tmp_path.iterdir()), Question(estimators=["replay:4"]))["columns"].estimates
    _, expected = replay(LOG, "replay:4")
    assert (found.value, found.stderr) == pytest.approx((expected.value, expected.stderr), rel=1e-12)


def test_engines_agree():
    """Frames of every engine that keeps an order give the same."""
    expected = replay(LOG)[1]
    for frame in (LOG.lazy(), LOG.to_pandas(), LOG.to_arrow(), LOG.to_dict(as_series=False)):
        assert replay(frame)[1] == expected


def test_order_matters_and_merging_is_refused():
    """Which rows are kept depends on how many came before, so two folds are no fold of both logs."""
    assert replay(LOG, "replay:5")[1].value != replay(LOG.reverse(), "replay:5")[1].value
    with pytest.raises(TypeError, match="two of them do not add up"):
        Replay(2.0) + Replay(2.0)


def test_nothing_kept():
    """A target that never does what was logged has no value, and no row no order."""
    evaluation, found = replay(LOG.with_columns(target_propensity=0.0), "replay:2")
    assert np.isnan(found.value)
    assert np.isnan(found.stderr)
    assert evaluation.notes == ("replay:2: kept 0 of 4,000 rows, for weights of at most 2",)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("replay:1", "weights of at most 1, and a row has"),
        ("replay:0", "the largest weight is a number above 0"),
        ("replay:many", "'many' is neither a number"),
    ],
)
def test_refusals_in_words(name, says):
    """Rejection needs a largest weight that holds."""
    with pytest.raises(InvalidRequest, match=says):
        replay(LOG, name)
