"""Logistic Thompson Sampling: updates by hand and against a general optimiser, predictions against quadrature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from bandit.policies.logistic import LogisticTs, LogisticTsConfig, Logits, _move
from bandit.policies.situation import Situation
from store.records import Action

ALONE = Situation({}, [Action("a")])


def taught(*rewards: float, decay: float = 1.0) -> LogisticTs:
    policy = LogisticTs(LogisticTsConfig(), decay=decay)
    for reward in rewards:
        policy.learn(ALONE, 0, reward, 1.0)
    return policy


def test_one_outcome_by_hand() -> None:
    """The prior N(0, 1) and a success: w = 1 - sigmoid(w), which is 0.40106, and precision 1 + p (1 - p)."""
    policy = taught(1.0)
    w = policy.mean[1, 0]
    assert w == pytest.approx(0.401058, abs=1e-6)
    assert w == pytest.approx(1 - expit(w), abs=1e-12)
    assert policy.precision[1, 0] == pytest.approx(1 + expit(w) * expit(-w))


@pytest.mark.parametrize("seed", range(8))
def test_an_update_is_the_optimum(seed: int) -> None:
    """The weights after an update are what a general optimiser finds for the same objective, to 1e-6."""
    rng = np.random.default_rng(seed)
    start, precision, x, r = rng.normal(size=5), rng.uniform(0.2, 9, 5), 3 * rng.normal(size=5), rng.random()

    def objective(w: np.ndarray) -> float:
        return (precision * (w - start) ** 2).sum() / 2 + np.logaddexp(0, w @ x) - r * (w @ x)

    def slope(w: np.ndarray) -> np.ndarray:
        return precision * (w - start) + (expit(w @ x) - r) * x

    moved = start.copy()
    _move(moved, precision, x, r)
    assert_allclose(moved, minimize(objective, start, jac=slope, method="BFGS", options={"gtol": 1e-9}).x, atol=1e-6)


numbers = st.floats(-1e15, 1e15)


@given(st.lists(st.tuples(numbers, st.floats(1e-6, 1e15), numbers), min_size=1, max_size=5), st.floats(-1, 2))
def test_an_update_stays_finite(columns: list[tuple[float, float, float]], target: float) -> None:
    """Whatever the features, the weights and a target that corrections can ask for."""
    mean, precision, x = np.array(columns).T.copy()
    _move(mean, precision, x, target)
    assert np.isfinite(mean).all()


def test_learns_the_weights_of_a_logistic_world() -> None:
    """After 5,000 outcomes of a known world, no predicted reward in 200 new contexts is off by more than 0.1."""
    rng = np.random.default_rng(1)
    policy, theta = LogisticTs(LogisticTsConfig()), np.array([1.0, -1.5, 0.5])
    for x in rng.normal(size=(5000, 3)):
        reward = float(rng.random() < expit(0.3 + x @ theta))
        policy.learn(Situation({"x": x.tolist()}, [Action("a")]), 0, reward, 1.0)
    for x in rng.normal(size=(200, 3)):
        mean = policy.believe(Situation({"x": x.tolist()}, [Action("a")]), None).mean
        assert mean[0] == pytest.approx(expit(0.3 + x @ theta), abs=0.1)


def test_rewards_outside_count_as_the_nearer_end() -> None:
    """A reward of 7 is learned as 1, and one of -3 as 0."""
    assert taught(7.0, -3.0).dump() == taught(1.0, 0.0).dump()


def test_a_correction_nears_what_learning_it_at_once_had_done_and_can_be_undone() -> None:
    """0 corrected to 1 among ten outcomes: most of the way; back to 0: where it was, to 1e-9."""
    corrected, told = taught(0.0, *[0.5] * 9), taught(1.0, *[0.5] * 9)
    before = corrected.mean[1, 0]
    corrected.correct(ALONE, 0, 1.0, 0.0)
    assert abs(corrected.mean[1, 0] - told.mean[1, 0]) < 0.1 * abs(before - told.mean[1, 0])
    corrected.correct(ALONE, 0, 0.0, 1.0)
    assert corrected.mean[1, 0] == pytest.approx(before, abs=1e-9)


def test_decay_tempers_the_posterior_with_the_prior() -> None:
    """Without the new outcome's share, precision 1 + g becomes 1 + decay g, and precision times mean shrinks alike."""
    once, twice = taught(1.0), taught(1.0, 0.5, decay=0.5)
    kept = 0.5 * once.precision[1, 0] + 0.5
    start = 0.5 * once.precision[1, 0] * once.mean[1, 0] / kept
    w = twice.mean[1, 0]
    assert kept * (w - start) == pytest.approx(0.5 - expit(w), abs=1e-12)
    assert twice.precision[1, 0] == pytest.approx(kept + expit(w) * expit(-w))


@pytest.mark.parametrize("logit", [-6.0, -2.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("deviation", [0.0, 0.3, 1.0, 3.0])
def test_predictions_approximate_the_integral(logit: float, deviation: float) -> None:
    """MacKay's mean is within 0.02 of the expected sigmoid, and the deviation within 0.09 of its deviation."""
    belief = Logits(np.array([logit]), np.array([deviation**2]), 1.0)

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            return expit(logit + deviation * z) ** power * norm.pdf(z)

        return quad(integrand, -9, 9, epsabs=1e-10, limit=200)[0]

    assert belief.mean[0] == pytest.approx(moment(1), abs=0.02)
    assert belief.deviation[0] == pytest.approx(np.sqrt(max(moment(2) - moment(1) ** 2, 0)), abs=0.09)


def test_probabilities_are_those_of_the_rewards_draws() -> None:
    """The winners of 100,000 sigmoids of posterior draws: within 5 standard errors (p < 3e-6 for four actions)."""
    rng = np.random.default_rng(2)
    logit, variance, n = np.array([0.0, 0.4, -1.0, 0.2]), np.array([1.0, 0.1, 4.0, 0.5]), 100_000
    p = Logits(logit, variance, 1.0).distribution(np.arange(4))
    wins = np.bincount(expit(rng.normal(logit, np.sqrt(variance), (n, 4))).argmax(axis=1), minlength=4)
    assert (np.abs(wins - n * p) < 5 * np.sqrt(n * p * (1 - p))).all()
