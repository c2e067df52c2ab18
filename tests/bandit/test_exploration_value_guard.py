"""The value guard: by hand, as properties, and against a numerical optimiser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from bandit.exploration import Plan, ValueGuardConfig, cap_and_floor
from bandit.exploration.value_guard import value_guard
from store.errors import InvalidInput


def guarded(p: list[float] | np.ndarray, mean: list[float] | np.ndarray, most: float) -> Plan:
    mean = np.array(mean)
    return value_guard(most, mean)(Plan(np.array(p), mean == mean.max(), 0))


def test_hand_checked() -> None:
    """Two actions at 0.5, one worse by 1: a loss of at most 0.2 leaves the worse one 0.2."""
    plan = guarded([0.5, 0.5], [1.0, 0.0], 0.2)
    np.testing.assert_allclose(plan.q, [0.8, 0.2], atol=1e-12)
    assert plan.trace == ("exploration.value_guard",)


def test_tilting_keeps_the_form() -> None:
    """log(q/p) is a straight line in the mean, which is what exponential tilting is."""
    p, mean = np.array([0.2, 0.3, 0.4, 0.1]), np.array([1.0, 0.7, 0.2, 0.5])
    ratio = np.log(guarded(p, mean, 0.1).q / p)
    slopes = np.diff(ratio) / np.diff(mean)
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-9)


def test_slack_changes_nothing() -> None:
    """A distribution that loses little enough is returned as it is."""
    plan = guarded([0.9, 0.1], [1.0, 0.0], 0.1)
    assert (plan.q.tolist(), plan.trace) == ([0.9, 0.1], ())


def test_where_no_tilting_is_enough() -> None:
    """All on an action that loses 1, with a bound of 0.25: a quarter stays, the greedy action has the rest."""
    np.testing.assert_allclose(guarded([0.0, 1.0], [1.0, 0.0], 0.25).q, [0.75, 0.25], atol=1e-15)
    np.testing.assert_allclose(guarded([0.2, 0.8, 0.0], [1.0, 0.0, 1.0], 0.0).q, [1.0, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(guarded([0.0, 1.0, 0.0], [1.0, 0.0, 1.0], 0.0).q, [0.5, 0.0, 0.5], atol=1e-15)


def test_tiny_probabilities_do_not_overflow() -> None:
    """An action at the end of float64 is an action like any other: half of the bound's share is its, half G's."""
    np.testing.assert_allclose(guarded([1.0, 1e-310, 0.0], [0.0, 0.5, 1.0], 0.25).q, [0.0, 0.5, 0.5], atol=1e-15)


def test_without_a_mean_it_says_so() -> None:
    """A policy that predicts no mean is left alone, and the trace says why."""
    plan = value_guard(0.0, None)(Plan(np.array([0.5, 0.5]), np.array([True, True]), 0))
    assert plan.q.tolist() == [0.5, 0.5]
    assert plan.trace == ("exploration.value_guard waived: the policy predicts no mean",)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    """A distribution, means of any size, and a bound of the size of their spread."""
    size = draw(st.integers(1, 10))
    weights = draw(st.lists(st.sampled_from([0.0, 1e-310, 1e-12]) | st.floats(0, 1), min_size=size, max_size=size))
    p = np.array(weights) if sum(weights) > 0 else np.ones(size)
    scale = draw(st.sampled_from([1e-309, 1e-9, 1.0, 1e9]))
    mean = scale * np.array(draw(st.lists(st.floats(-1, 1), min_size=size, max_size=size)))
    return p / p.sum(), mean, scale * draw(st.sampled_from([0.0]) | st.floats(0, 1))


@given(cases(), st.floats(0, 1), st.floats(0, 1))
def test_the_bound_holds(case: tuple[np.ndarray, np.ndarray, float], cap: float, part: float) -> None:
    """The expected loss is at most the bound; cap and floor add at most what the floor itself loses."""
    p, mean, most = case
    plan = guarded(p, mean, most)
    gap = mean.max() - mean
    slack = 1e-9 * (gap.max() + most) + 1e-300
    assert abs(plan.q.sum() - 1) < 1e-12
    assert plan.q.min() >= 0
    assert plan.q @ gap <= most + slack
    q = cap_and_floor(cap, cap * part)(plan).q
    assert q @ gap <= most + cap * part / len(p) * gap.sum() + slack


def test_agrees_with_a_numerical_optimiser() -> None:
    """It is the KL projection on the bound: within 1e-4 of SLSQP on 40 random cases."""
    rng = np.random.default_rng(5)
    for _ in range(40):
        size = int(rng.integers(2, 7))
        p, mean = rng.dirichlet(np.ones(size)), rng.uniform(0, 1, size)
        gap = mean.max() - mean
        most = rng.uniform(0.1, 0.9) * (p @ gap)
        found = minimize(
            lambda q, p=p: (q * np.log(q / p)).sum(),
            p,
            bounds=[(1e-9, 1)] * size,
            constraints=[
                {"type": "eq", "fun": lambda q: q.sum() - 1},
                {"type": "ineq", "fun": lambda q, gap=gap, most=most: most - q @ gap},
            ],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(guarded(p, mean, most).q, found.x, atol=1e-4)


@pytest.mark.parametrize("most", [-0.1, float("nan"), float("inf")])
def test_impossible_settings_are_refused(most: float) -> None:
    """A bound that is negative or no number is refused by name."""
    with pytest.raises(InvalidInput, match="max_loss"):
        ValueGuardConfig(most)
