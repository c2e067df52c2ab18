"""The Cressie-Read bound against the optimum that it is the closed form of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f

from ope.intervals.cressie_read import WeightSums, lower

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
    assert lower(sums, alpha, most=20.0) == pytest.approx(least(w, r, alpha, 20.0), abs=1e-9)
    assert lower(sums.turned(), alpha, most=20.0) == pytest.approx(least(w, 1 - r, alpha, 20.0), abs=1e-9)


def test_without_a_largest_weight_it_is_the_limit() -> None:
    """No declared largest weight is the limit of larger and larger ones."""
    sums = WeightSums.of(*drawn(7, 100))
    assert lower(sums, 0.05) == pytest.approx(lower(sums, 0.05, most=1e7), abs=1e-6)


def test_on_policy_it_is_students_interval() -> None:
    """With all weights 1 it is close to Student's t interval of the mean."""
    r = np.random.default_rng(3).random(400)
    sums = WeightSums.of(np.ones(400), r)
    student = r.mean() - 1.966 * r.std() / 20
    assert lower(sums, 0.025, most=2.0) == pytest.approx(student, abs=2e-3)


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
