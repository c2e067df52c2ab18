"""Bootstrap Thompson Sampling: its weights as a distribution, its replicates against weighted least squares."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import poisson

from bandit.policies.bootstrap import BootstrapTs, BootstrapTsConfig, _normals
from bandit.policies.situation import Situation
from store.records import Action

TWO = Situation({}, [Action("a"), Action("b")])
N = 2000


def make(**settings: object) -> BootstrapTs:
    return BootstrapTs(BootstrapTsConfig(**settings), decay=1.0)


def drawn(policy: BootstrapTs) -> np.ndarray:
    """The weights of N outcomes."""
    weights = []
    for policy.learned in range(N):
        weights.append(policy._weights())
    policy.learned = 0
    return np.array(weights)


def test_poisson_weights_are_poisson() -> None:
    """Each count's frequency among 32,000 weights is within 5.5 standard errors of Poisson(1) (p < 4e-7 in all)."""
    weights = drawn(make())
    for count in range(7):
        p = poisson.pmf(count, 1)
        assert abs((weights == count).mean() - p) < 5.5 * np.sqrt(p * (1 - p) / weights.size)


def test_double_or_nothing_weights_are_coins() -> None:
    """Weights are 0 or 2, alike to 5 standard errors (p < 6e-7)."""
    weights = drawn(make(weights="double_or_nothing"))
    assert set(np.unique(weights)) == {0, 2}
    assert abs(weights.mean() - 1) < 5 / np.sqrt(weights.size)


def test_replicates_draw_apart() -> None:
    """No two replicates' weights, and no two actions' offsets, are correlated by more than 5.5 standard errors.

    120 and 190 pairs: p < 2e-5 at most, with fixed hashes instead of a seed.
    """
    weights = np.corrcoef(drawn(make()).T) - np.eye(16)
    assert abs(weights).max() < 5.5 / np.sqrt(N)
    offsets = np.corrcoef([_normals(f"action {i}", 256) for i in range(20)]) - np.eye(20)
    assert abs(offsets).max() < 5.5 / np.sqrt(256)


@pytest.mark.parametrize("weights", ["poisson", "double_or_nothing"])
def test_a_replicate_is_weighted_least_squares(weights: str) -> None:
    """Each replicate's prediction is its offset plus the ridge regression of the rest with its weights, to 1e-9."""
    policy, rng = make(weights=weights, replicates=4), np.random.default_rng(3)
    rows, rewards, times = rng.normal(size=(60, 2)), rng.random(60), []
    for row, reward in zip(rows, rewards, strict=True):
        times.append(policy._weights())
        policy.learn(Situation({"x": row.tolist()}, [Action("a")]), 0, float(reward), 1.0)
    design = np.column_stack([np.ones(60), rows])
    scores = policy.believe(Situation({"x": [0.5, 2.0]}, [Action("a")]), None).scores[:, 0]
    for w, offset, score in zip(np.array(times).T, policy._offsets("a"), scores, strict=True):
        precision = np.eye(3) + design.T @ (design * w[:, None])
        theta = np.linalg.solve(precision, design.T @ (w * (rewards - offset)))
        assert score == pytest.approx(offset + theta @ [1.0, 0.5, 2.0], abs=1e-9)


def test_actions_that_were_never_tried_are_tried() -> None:
    """After 50 rewards of 0.3 for one action, some replicates prefer the other, and most do not see it as certain."""
    policy = make()
    for _ in range(50):
        policy.learn(TWO, 0, 0.3, 1.0)
    p = policy.believe(TWO, None).distribution(np.arange(2))
    assert 0 < p[1] < 1
    for _ in range(200):
        policy.learn(TWO, 1, 0.0, 1.0)
    assert policy.believe(TWO, None).distribution(np.arange(2)).tolist() == [1, 0]


def test_the_votes_are_the_probabilities() -> None:
    """Probabilities are multiples of 1 / replicates, mean and deviation are over the replicates."""
    belief = make(replicates=8).believe(TWO, None)
    p = belief.distribution(np.arange(2))
    assert (p * 8 == np.round(p * 8)).all()
    assert_allclose(belief.mean, belief.scores.mean(axis=0))
    assert_allclose(belief.deviation, belief.scores.std(axis=0))


def test_a_correction_moves_the_mean_as_learning_it_at_once_had_done() -> None:
    """Averaged over 256 replicates, 0 corrected to 1 is within 0.02 of having learned 1 (no replicate is exact)."""
    corrected, told = make(replicates=256), make(replicates=256)
    for i in range(30):
        corrected.learn(TWO, 0, 0.0 if i == 3 else 0.5, 1.0)
        told.learn(TWO, 0, 1.0 if i == 3 else 0.5, 1.0)
    corrected.correct(TWO, 0, 1.0, 0.0)
    assert corrected.believe(TWO, None).mean[0] == pytest.approx(told.believe(TWO, None).mean[0], abs=0.02)
