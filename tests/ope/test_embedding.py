"""Weights of an action's category (MIPS), by hand, in numpy and on simulated logs whose truth is known."""

import numpy as np
import polars as pl
import pytest

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question

COLUMNS = Columns(embedding="kind")
ACTIONS = 30
KINDS = np.arange(ACTIONS) % 3


def judged(frame, policy="uniform", **options):
    """Return {estimator: estimate} of one policy."""
    evaluation = evaluate_frame(frame, Question(**({"columns": COLUMNS, "policies": [policy]} | options)))[policy]
    return {one.estimator: one for one in evaluation.estimates}


def simulated(rows, seed, *, noise=0.0):
    """Draw a log whose rewards depend on the kind alone; with `noise` an action's kind is now and then another."""
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(ACTIONS) * 0.3) * 0.9 + 0.1 / ACTIONS
    arm = rng.choice(ACTIONS, rows, p=logging)
    kind = np.where(rng.random(rows) < noise, rng.integers(0, 3, rows), KINDS[arm])
    pairs = [{"action": str(a), "propensity": p} for a, p in enumerate(logging)]
    log = {
        "action": arm.astype(str),
        "propensity": logging[arm],
        "kind": kind.astype(str),
        "reward": rng.binomial(1, np.array([0.2, 0.5, 0.8])[kind]).astype(float),
        "distribution": [pairs] * rows,
    }
    return pl.DataFrame(log), logging, arm, kind


def test_by_hand():
    """Actions a and b are fruit, logged with 0.5 together, uniform has 2/3; c is bread, 0.5 and 1/3."""
    pairs = [{"action": a, "propensity": p} for a, p in (("a", 0.2), ("b", 0.3), ("c", 0.5))]
    log = pl.DataFrame(
        {
            "action": ["a", "b", "c"],
            "propensity": [0.2, 0.3, 0.5],
            "reward": [1.0, 2.0, 4.0],
            "kind": ["fruit", "fruit", "bread"],
            "distribution": [pairs] * 3,
        }
    )
    found = judged(log)
    assert found["ips"].value == pytest.approx((4 / 3 * 1 + 4 / 3 * 2 + 2 / 3 * 4) / 3)
    assert found["snips"].value == pytest.approx((4 / 3 * 3 + 2 / 3 * 4) / (10 / 3))
    assert judged(log, "fixed:a")["ips"].value == pytest.approx((2 * 1 + 2 * 2 + 0) / 3)
    assert judged(log, "logged")["ips"].value == pytest.approx(7 / 3)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_agreement_with_numpy(noise):
    """Shares are counted over the log, weights are ratios of their expectations, categories may be random."""
    log, logging, arm, kind = simulated(3_000, 61, noise=noise)
    counts = np.zeros((ACTIONS, 3))
    np.add.at(counts, (arm, kind), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    w = (shares.mean(0) / (logging @ shares))[kind]
    x = w * log["reward"].to_numpy()
    found = judged(log)["ips"]
    assert (found.value, found.stderr) == pytest.approx((x.mean(), x.std(ddof=1) / np.sqrt(len(x))), rel=1e-11)


def test_the_truth_is_found_with_a_smaller_error():
    """The value of uniform, 0.5, lies within 5 standard errors (1 false alarm in 1.7 million); IPS's are far larger."""
    log, *_ = simulated(5_000, 62)
    found = judged(log)
    plain = judged(log, columns=Columns())
    assert abs(found["ips"].value - 0.5) < 5 * found["ips"].stderr
    assert found["ips"].stderr < plain["ips"].stderr / 2


def test_files_are_one_log(tmp_path):
    """Shares are counted over all files together; pandas gives the same."""
    log, *_ = simulated(300, 63, noise=0.5)
    log[:100].write_parquet(tmp_path / "a.parquet")
    log[100:].write_parquet(tmp_path / "b.parquet")
    options = {"columns": COLUMNS, "policies": ["uniform"], "estimators": ["ips", "snips"]}
    for one in evaluate_files(sorted(tmp_path.iterdir()), Question(**options))["uniform"].estimates:
        assert one.value == pytest.approx(judged(log)[one.estimator].value, rel=1e-12)
        assert one.value == pytest.approx(judged(log.to_pandas())[one.estimator].value, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"policies": []}, "--embedding needs --policy"),
        ({}, {"columns": Columns(embedding="kind", logger="kind")}, "--embedding needs --policy"),
        ({}, {"columns": Columns(embedding="gone")}, "there is no column 'gone'"),
        ({"kind": pl.lit(0.5)}, {}, "kind holds fractions; categories are counted. Cut it into bins"),
        ({}, {"estimators": ["sips"]}, "an embedding is of an action"),
    ],
)
def test_refusals_in_words(change, options, says):
    """What counting cannot do is refused with the way out."""
    log, *_ = simulated(20, 64)
    with pytest.raises(InvalidRequest, match=says):
        judged(log.with_columns(**change), **options)


def test_a_row_without_a_category():
    """Each logged action has a category."""
    log, *_ = simulated(20, 65)
    with pytest.raises(InvalidLog, match="kind is null in some rows"):
        judged(log.with_columns(kind=pl.when(pl.int_range(pl.len()) != 3).then("kind")))
