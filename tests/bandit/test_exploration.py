"""Caps and floors: hand-checked, as properties, and against a numerical optimiser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from bandit.exploration import ExplorationConfig, Plan, cap_and_floor, fill, only_baseline, only_greedy
from store.errors import InvalidInput


def plan(p: list[float], greedy: list[int], baseline: int = 0) -> Plan:
    return Plan(q=np.array(p), greedy=np.array([k in greedy for k in range(len(p))]), baseline=baseline)


def project(p: np.ndarray, greedy: np.ndarray, cap: float, floor: float) -> np.ndarray:
    return cap_and_floor(cap, floor)(Plan(q=p, greedy=greedy, baseline=0)).q


def kl_projection(p: np.ndarray, greedy: np.ndarray, cap: float, phi: float) -> np.ndarray:
    """The same projection by sequential quadratic programming."""
    start = np.full(len(p), 1 / len(p))
    constraints = [
        {"type": "eq", "fun": lambda q: q.sum() - 1},
        {"type": "ineq", "fun": lambda q: cap - q[~greedy].sum()},
    ]
    found = minimize(
        lambda q: (q * np.log(q / p)).sum(),
        start,
        bounds=[(phi, 1)] * len(p),
        constraints=constraints,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x


def test_hand_checked_cap() -> None:
    """0.5 off the greedy action under a cap of 0.2: the others shrink in proportion, the greedy one takes the rest."""
    capped = cap_and_floor(0.2, 0.0)(plan([0.5, 0.3, 0.2], [0]))
    np.testing.assert_allclose(capped.q, [0.8, 0.12, 0.08], atol=1e-15)
    assert capped.trace == ("exploration.cap",)
    assert capped.exploration == pytest.approx(0.2)


def test_hand_checked_floor() -> None:
    """A floor of 0.09 over 3 actions lifts the two at 0 to 0.03 each."""
    floored = cap_and_floor(0.2, 0.09)(plan([1.0, 0.0, 0.0], [0]))
    np.testing.assert_allclose(floored.q, [0.94, 0.03, 0.03], atol=1e-15)
    assert floored.trace == ("exploration.floor",)


def test_slack_caps_and_floors_change_nothing() -> None:
    """A distribution that keeps the rules stays as it is, to the last bit but one."""
    free = cap_and_floor(0.5, 0.03)(plan([0.7, 0.2, 0.1], [0]))
    np.testing.assert_allclose(free.q, [0.7, 0.2, 0.1], rtol=1e-15)
    assert free.trace == ()


def test_optimism_is_capped_too() -> None:
    """A UCB choice that is not the greedy action gets no more than the cap."""
    capped = cap_and_floor(0.2, 0.0)(plan([0.0, 1.0, 0.0], [0]))
    np.testing.assert_allclose(capped.q, [0.8, 0.2, 0.0], atol=1e-15)


def test_ties_are_all_greedy() -> None:
    """Where all means are alike, no choice is exploration and nothing is capped."""
    tied = cap_and_floor(0.2, 0.01)(plan([0.25] * 4, [0, 1, 2, 3]))
    np.testing.assert_allclose(tied.q, [0.25] * 4)
    assert tied.exploration == 0


def test_kill_switch_forces_and_says_so() -> None:
    """`greedy` and `baseline` give probability 1 and name themselves."""
    greedy = only_greedy(plan([0.5, 0.3, 0.2], [1]))
    assert greedy.q.tolist() == [0, 1, 0]
    assert greedy.reason == "mode greedy"
    assert only_greedy(plan([0.5, 0.3, 0.2], [1, 2])).q.tolist() == [0, 0.5, 0.5]
    assert only_baseline(plan([0.5, 0.3, 0.2], [1], baseline=2)).q.tolist() == [0, 0, 1]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, float]:
    """A distribution (zeros and tiny numbers included), greedy actions, a cap and a floor below it."""
    size = draw(st.integers(1, 12))
    weights = draw(
        st.lists(st.sampled_from([0.0, 1e-12, 1e-3, 0.5, 1.0]) | st.floats(0, 1), min_size=size, max_size=size)
    )
    p = np.array(weights) if sum(weights) > 0 else np.ones(size)
    greedy = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    greedy[draw(st.integers(0, size - 1))] = True
    cap = draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    return p / p.sum(), greedy, cap, cap * draw(st.floats(0, 1))


@given(cases())
def test_cap_and_floor_hold(case: tuple[np.ndarray, np.ndarray, float, float]) -> None:
    """For any distribution: it sums to 1, the floor holds everywhere and the cap off the greedy actions."""
    p, greedy, cap, floor = case
    q = project(p, greedy, cap, floor)
    assert abs(q.sum() - 1) < 1e-12
    assert q.min() >= floor / len(p) - 1e-12
    assert q[~greedy].sum() <= cap + 1e-12


@given(cases())
def test_order_of_probabilities_is_kept(case: tuple[np.ndarray, np.ndarray, float, float]) -> None:
    """Within the greedy actions, and within the others, a likelier action stays at least as likely."""
    p, greedy, cap, floor = case
    q = project(p, greedy, cap, floor)
    for group in (greedy, ~greedy):
        order = p[group].argsort(kind="stable")
        assert (np.diff(q[group][order]) >= -1e-12).all()


def test_agrees_with_a_numerical_optimiser() -> None:
    """The closed form is the KL projection: within 1e-5 of SLSQP on 60 random cases, and never worse than it."""
    rng = np.random.default_rng(7)
    for _ in range(60):
        size = int(rng.integers(2, 7))
        p = rng.dirichlet(np.ones(size))
        greedy = np.arange(size) < rng.integers(1, size + 1)
        cap = rng.uniform(0.05, 1)
        phi = cap * rng.uniform(0.01, 1) / size
        q = project(p, greedy, cap, phi * size)
        reference = kl_projection(p, greedy, cap, phi)
        np.testing.assert_allclose(q, reference, atol=1e-5)
        assert (q * np.log(q / p)).sum() <= (reference * np.log(reference / p)).sum() + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0, 0.1), st.floats(0, 1))
def test_fill_sums_to_its_total(p: list[float], phi: float, extra: float) -> None:
    """`fill` keeps the floor and reaches the total whenever there is room for the floors."""
    total = phi * len(p) + extra
    q = fill(np.array(p), phi, total)
    assert sum(q) == pytest.approx(total, abs=1e-12)
    assert min(q) >= phi - 1e-12


def test_tiny_probabilities_do_not_overflow() -> None:
    """Probabilities at the end of float64 are shared like any others."""
    assert fill(np.array([0.0, 5e-324]), 0.0, 1.0).tolist() == [0.0, 1.0]
    assert fill(np.array([5e-324, 5e-324, 1e-310]), 0.1, 0.5) == pytest.approx([0.1, 0.1, 0.3])


@pytest.mark.parametrize(("cap", "floor"), [(0.1, 0.2), (-0.1, -0.2), (1.1, 0.0), (float("nan"), 0.0)])
def test_impossible_settings_are_refused(cap: float, floor: float) -> None:
    """A floor above the cap, or numbers outside [0, 1], are refused by value."""
    with pytest.raises(InvalidInput, match="0 <= floor <= cap <= 1"):
        ExplorationConfig(cap=cap, floor=floor)
