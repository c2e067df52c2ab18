"""How often healthy logs are called faulty, and planted faults found: the rates that the reference states."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from planted import without_distribution

from ope.diagnostics.lint import lint_frame
from ope.diagnostics.question import Asked
from ope.diagnostics.thresholds import DEFAULTS
from ope.policies import parse_policy

ROWS = 2_000
TESTS = ("argmax_logged", "overexplored", "calibration", "propensity_constant", "reward_gap", "mean_weight")
ASKED = Asked(DEFAULTS, policies=(parse_policy("uniform"),))
PAIRS = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))


def softmax(scores: np.ndarray, floor: float) -> np.ndarray:
    """Return probabilities with a floor, shape (n, K)."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    k = scores.shape[1]
    return (1 - floor * k) * e / e.sum(axis=1, keepdims=True) + floor


def draw(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Return an action for each row."""
    return (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)


def flat(rng):
    """Five actions, propensities from 0.05 to 0.6."""
    return (p := softmax(rng.normal(0, 0.7, (ROWS, 5)), 0.05)), draw(rng, p)


def peaked(rng):
    """Ten actions, propensities from 0.01 to 0.9."""
    return (p := softmax(rng.normal(0, 1.5, (ROWS, 10)), 0.01)), draw(rng, p)


def heavy(rng):
    """Ten actions, propensities from 0.002 to 0.98."""
    return (p := softmax(rng.normal(0, 2.5, (ROWS, 10)), 0.002)), draw(rng, p)


def many(rng):
    """A hundred actions, twenty draws each."""
    return (p := softmax(rng.normal(0, 1, (ROWS, 100)), 0.0)), draw(rng, p)


def context_free(rng):
    """Six actions with the same propensities in each row, two of them 0.01."""
    return (p := np.tile([0.5, 0.3, 0.15, 0.03, 0.01, 0.01], (ROWS, 1))), draw(rng, p)


def adaptive(rng):
    """Four actions and a logger that learns from what it drew."""
    means, sums, counts = np.array([0.2, 0.3, 0.4, 0.5]), np.ones(4), np.full(4, 2.0)
    p, drawn = np.empty((ROWS, 4)), np.empty(ROWS, dtype=int)
    for i, (u, v) in enumerate(rng.random((ROWS, 2))):
        e = np.exp(8 * sums / counts)
        p[i] = 0.8 * e / e.sum() + 0.05
        k = drawn[i] = min(int((p[i].cumsum() < u).sum()), 3)
        sums[k] += v < means[k]
        counts[k] += 1
    return p, drawn


HEALTHY = (flat, peaked, heavy, many, context_free, adaptive)


def log_of(rng, p: np.ndarray, drawn: np.ndarray, *, distribution: bool) -> pl.DataFrame:
    """Return a log in which p is what is logged; rewards come in 30% of the rows."""
    n, k = p.shape
    ids = np.array([f"a{place}" for place in range(k)])
    log = pl.DataFrame(
        {
            "action": ids[drawn],
            "propensity": p[np.arange(n), drawn],
            "n_actions": np.full(n, k),
            "reward": (rng.random(n) < 0.3).astype(float),
        }
    )
    if not distribution:
        return log
    flat = pl.DataFrame({"action": np.tile(ids, n), "propensity": p.ravel()}).select(pl.struct("action", "propensity"))
    return log.with_columns(distribution=flat.to_series().reshape((n, k)).arr.to_list().cast(PAIRS))


def alarms(make: Callable, *, logs: int, seed: int, distribution: bool) -> Counter[str]:
    """Return in how many logs each statistical test gave a fault; "any" counts the logs with any."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for _ in range(logs):
        p, drawn = make(rng)
        lint = lint_frame(log_of(rng, p, drawn, distribution=distribution), asked=ASKED)
        codes = {one.code for one in lint.at_least("warn")} & {*TESTS}
        found.update(codes)
        found["any"] += bool(codes)
    return found


def check_healthy(*, logs: int, most: int, seed: int) -> None:
    """Fail where more than `most` of the logs of a kind have a statistical fault."""
    for make in HEALTHY:
        for distribution in (True, False):
            found = alarms(make, logs=logs, seed=seed, distribution=distribution)
            assert found["any"] <= most, (make.__name__, distribution, found)


def test_healthy_logs_seldom_alarm():
    """Of 25 healthy logs of each of six kinds, with and without distributions, none has a statistical fault (seed 21).

    If each kind erred at the 0.1% that are promised, this test would fail for 1 seed in 4; it holds for this one.
    """
    check_healthy(logs=25, most=0, seed=21)


@pytest.mark.deep
def test_healthy_logs_seldom_alarm_over_many():
    """Of 1,000 healthy logs of each kind at most 5 have a statistical fault (seed 22).

    A kind that errs at the promised 0.1% has more than five with a probability of 0.0006.
    """
    check_healthy(logs=1_000, most=5, seed=22)


def argmax(rng):
    """The best action is played in every row."""
    p, _ = flat(rng)
    return p, p.argmax(axis=1)


def explored_beside(rng):
    """An eighth of the rows is drawn uniformly beside a peaked distribution that is logged for all."""
    p = softmax(rng.normal(0, 3, (ROWS, 5)), 0.01)
    return p, np.where(rng.random(ROWS) < 0.125, rng.integers(0, 5, ROWS), draw(rng, p))


def tilted(rng):
    """One action of five is played half as often again as its propensities say."""
    p, _ = flat(rng)
    q = p * [1.5, 1, 1, 1, 1]
    return p, draw(rng, q / q.sum(axis=1, keepdims=True))


def filled_in(rng):
    """1/5 is logged for actions that are played 40:15:15:15:15."""
    return np.full((ROWS, 5), 0.2), draw(rng, np.tile([0.4, 0.15, 0.15, 0.15, 0.15], (ROWS, 1)))


POWER = (
    (argmax, True, "argmax_logged"),
    (argmax, False, "calibration"),
    (explored_beside, True, "overexplored"),
    (tilted, True, "calibration"),
    (tilted, False, "calibration"),
    (filled_in, False, "propensity_constant"),
)


def check_power(*, logs: int, seed: int) -> None:
    """Fail where a fault of this size is missed in more than a tenth of the logs of 2,000 rows."""
    for make, distribution, code in POWER:
        found = alarms(make, logs=logs, seed=seed, distribution=distribution)
        assert found[code] >= 0.9 * logs, (make.__name__, distribution, found)


def test_faults_are_found():
    """Each fault is found in 9 of 10 logs of 2,000 rows (seed 23); a power of 0.97 fails here for 1 seed in 30."""
    check_power(logs=20, seed=23)


@pytest.mark.deep
def test_faults_are_found_over_many():
    """The same over 500 logs (seed 24)."""
    check_power(logs=500, seed=24)


WEIGHTS = {
    "log-normal, sigma 1": lambda rng: np.exp(rng.normal(-0.5, 1, 1_000)),
    "log-normal, sigma 1.5": lambda rng: np.exp(rng.normal(-1.125, 1.5, 1_000)),
    "Pareto, k 0.5": lambda rng: 0.5 / np.sqrt(rng.random(1_000)),
    "one of 100 weighs 33": lambda rng: rng.choice([0.556, 0.855, 33.3], 1_000, p=[0.6, 0.39, 0.01]),
}
"""Weights of mean 1 (the last to three digits) of healthy logs whose propensities are not tested."""


def refused_means(law: Callable, *, logs: int, seed: int) -> int:
    """Return in how many logs of such weights `mean_weight` is refused."""
    rng = np.random.default_rng(seed)
    lints = (lint_frame(without_distribution(law(rng))) for _ in range(logs))
    return sum(one.code == "mean_weight" for lint in lints for one in lint.at_least("refuse"))


@pytest.mark.deep
@pytest.mark.parametrize("law", WEIGHTS)
def test_mean_weight_seldom_errs(law: str):
    """Of 2,000 logs of weights of mean 1, however skewed, at most 12 are refused (seed 25)."""
    assert refused_means(WEIGHTS[law], logs=2_000, seed=25) <= 12
