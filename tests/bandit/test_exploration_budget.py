"""The budget: by hand, against a plain list, and as a property of the window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.exploration import budget as budget_module
from bandit.exploration.budget import Budget, BudgetConfig, Spent, Window
from store.records import SECOND

HOUR = 3600 * SECOND


def test_hand_checked_allowance() -> None:
    """Share 0.1: the first decision may spend 0.1; after 9 that spent nothing the tenth may spend 1."""
    budget = Budget(BudgetConfig(0.1, 3600))
    assert budget.allowance(0, None) == pytest.approx(0.1)
    for _ in range(9):
        budget.add(0, None, 0.0)
    assert budget.allowance(0, None) == pytest.approx(1.0)
    budget.add(0, None, 1.0)
    assert budget.allowance(0, None) == pytest.approx(0.1)
    assert budget.total(0) == Spent(10, 1.0)


def test_entities_have_their_own() -> None:
    """One user's exploration does not use up another's, but the loop's budget binds both."""
    budget = Budget(BudgetConfig(0.2, 3600, "user_id"))
    budget.add(0, "ann", 0.2)
    assert budget.allowance(0, "ann") == pytest.approx(0.2)
    budget.add(0, "ann", 0.4)
    assert budget.allowance(0, "ann") == 0.0
    assert budget.allowance(0, "bob") == 0.0
    for _ in range(5):
        budget.add(0, None, 0.0)
    assert budget.allowance(0, "bob") == pytest.approx(0.2)
    assert budget.allowance(0, "ann") == 0.0


def test_the_window_slides() -> None:
    """What is older than the window is forgotten, of the loop and of entities."""
    budget = Budget(BudgetConfig(0.5, 3600, "user_id"))
    budget.add(0, "ann", 0.5)
    budget.add(HOUR // 2, "bob", 0.5)
    assert budget.total(HOUR // 2).decisions == 2
    assert budget.total(HOUR + HOUR // 64).decisions == 1
    budget.add(2 * HOUR, "cat", 0.5)
    assert (budget.total(2 * HOUR), budget.entities) == (Spent(1, 0.5), 1)


def test_withdrawn_decisions_are_as_if_never_made() -> None:
    """A decision that was not stored leaves the sums as they were; withdrawing what is gone changes nothing."""
    budget = Budget(BudgetConfig(0.5, 3600, "user_id"))
    budget.add(0, "ann", 0.25)
    budget.add(HOUR // 8, "ann", 0.5)
    budget.withdraw(HOUR // 8, "ann", 0.5)
    assert budget.total(HOUR // 8) == Spent(1, 0.25)
    budget.withdraw(HOUR // 8, "nobody", 0.0)
    assert budget.allowance(HOUR // 8, "ann") == pytest.approx(0.75)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window has at most 64 buckets; of entities, those that were silent the longest are forgotten."""
    monkeypatch.setattr(budget_module, "MOST_ENTITIES", 10)
    budget = Budget(BudgetConfig(0.5, 64, "user_id"))
    for i in range(1000):
        budget.add(i * SECOND // 10, f"user {i}", 0.1)
    assert budget.entities == 10
    assert len(budget._loop._buckets) <= budget_module.BUCKETS


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), max_size=60))
def test_sums_agree_with_a_list(steps: list[tuple[int, float]]) -> None:
    """The sums are those over a list of everything, cut at a bucket's edge between 63/64 and all of the window."""
    window, at, everything = Window(10), 0, []
    for wait, spent in steps:
        at += wait
        window.add(at, spent)
        everything.append((at, spent))
        inside = [spent for then, spent in everything if then // 10 > at // 10 - 64]
        total = window.total(at)
        assert total.decisions == len(inside)
        assert total.exploration == pytest.approx(sum(inside))
        assert sum(then > at - 630 for then, _ in everything) <= total.decisions
        assert total.decisions <= sum(then > at - 640 for then, _ in everything)


@given(st.floats(0.01, 0.5), st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1)), max_size=80))
def test_whoever_spends_keeps_the_share(share: float, steps: list[tuple[int, float]]) -> None:
    """Each decision that spends no more than its allowance leaves the window at or below the share."""
    budget, at = Budget(BudgetConfig(share, 1)), 0
    for wait, wanted in steps:
        at += wait * 1000
        spent = min(wanted, budget.allowance(at, None))
        budget.add(at, None, spent)
        total = budget.total(at)
        assert spent == 0 or total.exploration <= share * total.decisions + 1e-9


def test_order_of_times_may_be_broken() -> None:
    """A clock that steps back puts its decisions into the newest bucket; nothing is lost."""
    window = Window(10)
    for at in (100, 50, 0):
        window.add(at, 0.5)
    assert window.total(100) == Spent(3, 1.5)
    assert np.isclose(window.total(0).exploration, 1.5)
