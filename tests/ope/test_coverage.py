"""A 95% interval covers the truth in about 95% of logs."""

import numpy as np
import polars as pl
import pytest

from ope.evaluate import evaluate_frame
from ope.question import Question

LOGGING = np.array([0.4, 0.3, 0.2, 0.1])
TARGET = np.array([0.1, 0.2, 0.3, 0.4])
MEANS = np.array([0.2, 0.4, 0.5, 0.7])
PREDICTED = np.array([0.3, 0.3, 0.6, 0.6])
TRUTH = float(TARGET @ MEANS)
ROWS = 600


def covered(rng):
    """Draw one log and say which estimators' intervals hold the truth."""
    arm = rng.choice(4, ROWS, p=LOGGING)
    reward = rng.binomial(1, MEANS[arm]).astype(float)
    log = {"reward": reward, "propensity": LOGGING[arm], "target_propensity": TARGET[arm]}
    model = {"q_logged": PREDICTED[arm], "q_target": np.full(ROWS, TARGET @ PREDICTED)}
    (evaluation,) = evaluate_frame(pl.DataFrame(log | model), Question(estimators=["ips", "snips", "dr"])).values()
    return [one.interval[0] <= TRUTH <= one.interval[1] for one in evaluation.estimates]


def check(*, rounds, seed):
    """Fail unless each estimator's share of covering intervals is close to 0.95."""
    # Four binomial standard errors, and 0.01 for what the normal approximation misses at 600 rows:
    # each estimator raises a false alarm with probability below 7e-5.
    rng = np.random.default_rng(seed)
    rates = np.mean([covered(rng) for _ in range(rounds)], axis=0)
    slack = 4 * np.sqrt(0.95 * 0.05 / rounds) + 0.01
    assert np.all(np.abs(rates - 0.95) < slack), dict(zip(("ips", "snips", "dr"), rates, strict=True))


def test_normal_interval_covers():
    """IPS, SNIPS and DR intervals hold the truth in 95% of 250 logs, give or take 0.065."""
    check(rounds=250, seed=11)


@pytest.mark.deep
def test_normal_interval_covers_closely():
    """The same over 5,000 logs, give or take 0.022."""
    check(rounds=5_000, seed=12)
