"""Ceilings of new actions: by hand, as properties, and against a numerical optimiser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from support import decision

from bandit.exploration import CeilingConfig, Plan, cap_and_floor
from bandit.exploration.ceiling import LearnedCounts, Under, ceiling, reclaim
from store.errors import InvalidInput
from store.records import Example, Outcome


def plan(q: list[float], greedy: list[int]) -> Plan:
    return Plan(np.array(q), np.array([k in greedy for k in range(len(q))]), 0)


def under(new: list[int], size: int, probability: float) -> Under:
    return Under(np.array([k in new for k in range(size)]), probability)


def outcome(position: int, kind: str = "rewarded", slots: int = 1) -> Example:
    """An outcome of a ranking of x, or of x and y."""
    return Example(
        Outcome(loop="a", position=position, decision_id="d", kind=kind, value=1.0, at=0), decision(slots=slots)
    )


def test_hand_checked() -> None:
    """A new action at 0.5 under 0.1: the others share 0.9 in their old proportion, 3 to 2."""
    held = ceiling(under([0], 3, 0.1), None)(plan([0.5, 0.3, 0.2], [0]))
    np.testing.assert_allclose(held.q, [0.1, 0.54, 0.36], atol=1e-15)
    assert held.greedy.tolist() == [False, True, False]
    assert held.trace == ("exploration.ceiling",)


def test_lifting_the_others_can_meet_another_ceiling() -> None:
    """What one new action gives up may lift another over its ceiling; then that is held too."""
    held = ceiling(under([0, 1], 3, 0.25), None)(plan([0.7, 0.2, 0.1], [0]))
    np.testing.assert_allclose(held.q, [0.25, 0.25, 0.5], atol=1e-15)


def test_a_new_action_that_looks_best_is_exploration() -> None:
    """The best of the known actions is greedy, so the cap holds for the lucky newcomer too."""
    held = ceiling(under([0], 3, 0.3), np.array([9.0, 1.0, 2.0]))(plan([1.0, 0.0, 0.0], [0]))
    np.testing.assert_allclose(held.q, [0.3, 0.0, 0.7], atol=1e-15)
    capped = cap_and_floor(0.2, 0.03)(held)
    np.testing.assert_allclose(capped.q, [0.19, 0.01, 0.8], atol=1e-15)


def test_waived_when_all_are_new() -> None:
    """Ceilings that cannot hold are waived, and the trace says so; without new actions nothing happens."""
    waived = ceiling(under([0, 1], 2, 0.1), None)(plan([0.5, 0.5], [0, 1]))
    assert waived.q.tolist() == [0.5, 0.5]
    assert waived.trace == ("exploration.ceiling waived: all actions are new",)
    same = plan([0.5, 0.5], [0])
    assert ceiling(under([], 2, 0.1), None)(same) is same


def test_reclaim_gives_the_excess_to_the_greedy_actions() -> None:
    """What a later guard lifted over the ceiling goes to the greedy actions."""
    back = reclaim(under([0], 3, 0.1))(plan([0.4, 0.3, 0.3], [1]))
    np.testing.assert_allclose(back.q, [0.1, 0.6, 0.3], atol=1e-15)


def test_counts_of_learned_outcomes() -> None:
    """A settled outcome counts once for all of its ranking; a provisional one or a correction is not another one."""
    counts = LearnedCounts(enough=2)
    both = {"slots": 2}
    for example in (outcome(1, **both), outcome(1), outcome(2), outcome(3, "corrected", 2), outcome(4, "provisional")):
        counts.learn(example)
    assert counts.new(["x", "y", "z"]).tolist() == [False, True, True]
    assert (counts.position, counts.established) == (4, 1)
    for position in range(5, 9):
        counts.learn(outcome(position, "expired"))
    assert counts.established == 1


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A distribution, means, which actions are new (not all of them), and a ceiling."""
    size = draw(st.integers(2, 10))
    numbers = st.lists(st.sampled_from([0.0, 1e-310, 1e-12, 0.5]) | st.floats(0, 1), min_size=size, max_size=size)
    p = np.array(draw(numbers)) + draw(st.sampled_from([0.0, 1e-9]))
    new = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    new[draw(st.integers(0, size - 1))] = False
    p = p / p.sum() if p.sum() > 0 else np.full(size, 1 / size)
    return p, np.array(draw(numbers)), new, draw(st.floats(1e-6, 1))


@given(cases(), st.floats(0, 1), st.floats(0, 1))
def test_ceilings_hold_to_the_end(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, float], cap: float, part: float
) -> None:
    """A new action has at most its ceiling, or its floor where that is more, after cap and floor too."""
    p, mean, new, most = case
    held = ceiling(Under(new, most), mean)(Plan(p, mean == mean.max(), 0))
    assert abs(held.q.sum() - 1) < 1e-12
    assert (held.q[new] <= most + 1e-12).all()
    assert not (held.greedy & new).any()
    q = cap_and_floor(cap, cap * part)(held).q
    assert (q[new] <= max(most, cap * part / len(p)) + 1e-12).all()


def test_agrees_with_a_numerical_optimiser() -> None:
    """It is the KL projection on the ceilings: within 1e-5 of SLSQP on 40 random cases."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        size = int(rng.integers(2, 7))
        p, most = rng.dirichlet(np.ones(size)), rng.uniform(0.05, 0.5)
        new = np.arange(size) < rng.integers(1, size)
        q = ceiling(Under(new, most), None)(Plan(p, p == p.max(), 0)).q
        found = minimize(
            lambda q, p=p: (q * np.log(q / p)).sum(),
            np.where(new, min(most, 1 / size), 0) + ~new * (1 - new.sum() * min(most, 1 / size)) / (~new).sum(),
            bounds=[(1e-9, most if is_new else 1) for is_new in new],
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(q, found.x, atol=1e-5)


@pytest.mark.parametrize(("probability", "outcomes"), [(0.0, 5), (1.1, 5), (float("nan"), 5), (0.1, 0)])
def test_impossible_settings_are_refused(probability: float, outcomes: int) -> None:
    """A ceiling of nothing, above 1 or without outcomes is refused by name."""
    with pytest.raises(InvalidInput, match=r"exploration\.ceiling"):
        CeilingConfig(probability, outcomes)
