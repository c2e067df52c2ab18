"""The Cressie-Read bound against the optimum that it is the closed form of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, f

from ope.intervals.cressie_read import WeightSums, lower, of_the_paper

ROWS = st.lists(st.tuples(st.floats(0, 8), st.floats(0, 1)), min_size=2, max_size=30)


def least(w, r, alpha, most):
    """Solve it by linear algebra: the least Σ q w r in a ball around equal weights that satisfies Σ q = Σ q w = 1."""
    n = len(w)

    def ball(unseen):
        weights, rewards = np.append(w, unseen), np.append(r, 0.0)
        equal = np.full(n + 1, 1 / (n + 1))
        rules = np.stack([np.ones(n + 1), weights])
        centre = equal + np.linalg.pinv(rules) @ (np.ones(2) - rules @ equal)
        return weights * rewards, rules, centre, np.sum((centre - equal) ** 2)

    _, _, _, offset = ball(most if w.sum() < n else 0.0)
    size = offset + f.isf(2 * alpha, 1, n) / (n + 1) ** 2
    found = []
    for unseen in (0.0, most):
        cost, rules, centre, offset = ball(unseen)
        if offset <= size + 1e-15:
            along = cost - np.linalg.pinv(rules) @ rules @ cost
            found.append(cost @ centre - math.sqrt(max(0.0, size - offset)) * np.linalg.norm(along))
    return min(1.0, max(0.0, min(found)))


def drawn(seed, n):
    """Weights of a uniform logger's spread and rewards between 0 and 1."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, n) / rng.uniform(0.2, 1, n), rng.random(n)


@pytest.mark.parametrize("n", [3, 20, 200])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.025, 0.2])
def test_the_closed_form_is_the_optimum(n, seed, alpha) -> None:
    """The lower bound is the least value in the ball, and the upper one its mirror image, to 1e-9."""
    w, r = drawn(seed, n)
    sums = WeightSums.of(w, r)
    assert of_the_paper(sums, alpha, most=20.0) == pytest.approx(least(w, r, alpha, 20.0), abs=1e-9)
    assert of_the_paper(sums.turned(), alpha, most=20.0) == pytest.approx(least(w, 1 - r, alpha, 20.0), abs=1e-9)


def test_without_a_largest_weight_it_is_the_limit() -> None:
    """No declared largest weight is the limit of larger and larger ones."""
    sums = WeightSums.of(*drawn(7, 100))
    assert of_the_paper(sums, 0.05) == pytest.approx(of_the_paper(sums, 0.05, most=1e7), abs=1e-6)


def test_on_policy_it_is_students_interval() -> None:
    """With all weights 1 it is close to Student's t interval of the mean, and below it by the unseen row."""
    r = np.random.default_rng(3).random(400)
    sums = WeightSums.of(np.ones(400), r)
    student = r.mean() - 1.966 * r.std() / 20
    assert of_the_paper(sums, 0.025, most=2.0) == pytest.approx(student, abs=2e-3)
    assert student - 5e-3 < lower(sums, 0.025, most=2.0) < student


@given(ROWS, ROWS)
def test_sums_merge_and_turn(a, b) -> None:
    """Sums of two logs add up to those of one, and turning the rewards over is turning the sums."""
    (wa, ra), (wb, rb) = np.array(a).T, np.array(b).T
    whole = WeightSums.of(np.concatenate([wa, wb]), np.concatenate([ra, rb]))
    merged = WeightSums.of(wa, ra) + WeightSums.of(wb, rb)
    for name in WeightSums.__slots__:
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-12, abs=1e-9)
        turned = getattr(WeightSums.of(wa, 1 - ra), name)
        assert getattr(WeightSums.of(wa, ra).turned(), name) == pytest.approx(turned, rel=1e-9, abs=1e-9)


@given(ROWS)
def test_it_is_a_bound_in_the_range_and_nested(rows) -> None:
    """Between 0 and 1, lower for more certainty, and the lower is not above the upper."""
    sums = WeightSums.of(*np.array(rows).T)
    bounds = [lower(sums, alpha, most=10.0) for alpha in (1e-6, 0.01, 0.1, 0.3)]
    assert bounds == sorted(bounds)
    assert 0 <= bounds[0] <= bounds[-1] <= 1
    assert bounds[2] <= 1 - lower(sums.turned(), 0.1, most=10.0) + 1e-9


def successes(n, k):
    """Sums of n rows of weight 1, k of them with a reward of 1."""
    return WeightSums(n, n, n, k, k, k, 1.0)


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.005])
def test_on_policy_it_keeps_its_promise_however_rare_rewards_are(alpha) -> None:
    """With all weights 1 each bound misses with a probability of at most alpha, whatever the rate: no simulation."""
    n, ks = 300, np.arange(301)
    above = np.array([lower(successes(n, k), alpha, most=2.0) for k in ks])
    below = np.array([1 - lower(successes(n, k).turned(), alpha, most=2.0) for k in ks])
    for rate in np.concatenate([np.geomspace(1e-5, 0.5, 200), 1 - np.geomspace(1e-5, 0.5, 200)]):
        chance = binom.pmf(ks, n, rate)
        assert chance[above > rate].sum() <= alpha + 1e-9
        assert chance[below < rate].sum() <= alpha + 1e-9


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-6, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("most", [2.0, math.inf])
def test_what_was_not_seen_is_not_impossible(spread, most) -> None:
    """Weights of about 1 and no reward, of any size: the upper bound is at least the rule of three's, 3/n at 95%."""
    w = 1 + spread * np.random.default_rng(4).choice([-1, 1], 1000)
    for r in (np.zeros(1000), np.full(1000, 0.3)):
        upper = 1 - lower(WeightSums.of(w, r).turned(), 0.05, most=most)
        assert upper >= -math.log(0.05) / 1000 * 0.998
        assert upper <= r[0] + 0.02


@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1e-2])
@pytest.mark.parametrize("rewards", [1, 5])
def test_weights_of_about_one_are_as_good_as_ones(spread, rewards) -> None:
    """With one or five rewards among 1,000 the bound is at most 3% narrower than the exact one of weights 1."""
    w = 1 + spread * np.random.default_rng(4).choice([-1, 1], 1000)
    r = (np.arange(1000) < rewards).astype(float)
    exact = 1 - lower(successes(1000, rewards).turned(), 0.05, most=4.0)
    assert 1 - lower(WeightSums.of(w, r).turned(), 0.05, most=4.0) >= 0.97 * exact


def test_a_weight_above_the_largest_is_refused() -> None:
    """It would make the bound false, and is named; what floating point adds to it is not one."""
    sums = WeightSums.of(np.array([1.0, 9.0]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="a row has a weight of 9; 8 was declared to be the largest"):
        lower(sums, 0.05, most=8.0)
    assert lower(sums, 0.05, most=9.0 * (1 - 1e-12)) >= 0
