"""The betting bound against a plain loop, by hand, and however its rows are cut."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from ope.intervals.betting import Betting, sharp_lower, spaced

VALUES = st.lists(st.floats(0, 30), max_size=40)


def log_wealth(values, mean):
    """Theorem 1 row by row, as it stands in the paper, with bets for α = 0.05 and at most half of what can be lost."""
    total, scatter, wealth = 0.0, 0.0, 0.0
    for t, x in enumerate(values, start=1):
        variance = (0.25 + scatter) / t
        bet = math.sqrt(2 * math.log(20) / (variance * t * math.log(1 + t)))
        wealth += math.log(1 + min(bet, 0.5 / mean if mean else math.inf) * (x - mean))
        total += x
        scatter += (x - min(1.0, (0.5 + total) / (t + 1))) ** 2
    return wealth


def drawn(seed, n, rate=0.4):
    """Values of weights that are heavy-tailed and rewards of 0 or 1."""
    rng = np.random.default_rng(seed)
    return rng.pareto(3, n) * (rng.random(n) < rate) * 2


def test_by_hand() -> None:
    """One value of 1 against mean 1: nothing is won; against 0.25 at most 2 is staked on 0.75."""
    state = Betting((0.25, 1.0)).fold(np.array([1.0]))
    assert state.log_wealth().tolist() == pytest.approx([math.log(1 + 2 * 0.75), 0.0])


@pytest.mark.parametrize("seed", [1, 2])
def test_each_node_has_the_wealth_of_the_plain_loop(seed) -> None:
    """At 30 means, to 1e-9, over 3,000 rows."""
    values = drawn(seed, 3000)
    nodes = spaced(29)
    expected = [log_wealth(values, mean) for mean in nodes]
    assert Betting(nodes).fold(values).log_wealth() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n", "rate"), [(50, 0.4), (2000, 0.4), (2000, 0.01)])
def test_the_bound_is_where_the_wealth_reaches_one_in_alpha(n, rate) -> None:
    """Bisection over the plain loop finds it too: never below ours, and within 1e-6."""
    values = drawn(3, n, rate)
    exact = brentq(lambda mean: log_wealth(values, mean) - math.log(20), 1e-9, 1.0, xtol=1e-12)
    found = sharp_lower(lambda: np.array_split(values, 7), 0.05)
    assert 0 <= exact - found < 1e-6
    low, high = Betting().fold(values).around(0.05)
    assert low - 1e-9 <= found <= high


def test_no_evidence_bounds_nothing() -> None:
    """Before any row, and after rows that are all 0, the bound is 0, and stays 0 however often it is sharpened."""
    for values in (np.array([]), np.zeros(100)):
        assert Betting().fold(values).lower(0.05) == 0.0
        assert sharp_lower(lambda values=values: [values], 0.05) == 0.0


def test_more_than_can_be_is_still_at_most_one() -> None:
    """Values whose mean is above 1 contradict every mean; the bound is 1, not an error."""
    assert Betting().fold(np.full(500, 5.0)).lower(0.05) == 1.0
    assert sharp_lower(lambda: [np.full(500, 5.0)], 0.05) == 1.0


@pytest.mark.parametrize("weight", [1e12, 1e155, 1e300])
def test_huge_weights_do_not_overflow(weight) -> None:
    """However large weights are the wealth stays finite; the bound is that of values that are cut at 1e9."""
    state = Betting().fold(np.tile([0.0, weight, 0.0], 400))
    assert state == Betting().fold(np.tile([0.0, 1e9, 0.0], 400))
    assert np.isfinite(state.log_wealth()).all()
    assert 0.0 <= state.lower(0.05) <= 1.0


@settings(max_examples=60)
@given(VALUES, st.integers(0, 40))
def test_cutting_and_saving_change_no_bit(values, cut) -> None:
    """A state that was written as JSON, read and gone on from is that of one pass."""
    whole = np.array(values)
    kept = msgspec.json.encode(Betting(spaced(16)).fold(whole[:cut]))
    assert msgspec.json.decode(kept, type=Betting).fold(whole[cut:]) == Betting(spaced(16)).fold(whole)


def test_long_chunks_and_single_rows_agree_to_the_bit() -> None:
    """Where rows are multiplied by the hundred, too."""
    values = drawn(5, 2000)
    one_by_one = Betting(spaced(16))
    for value in values:
        one_by_one = one_by_one.fold(np.array([value]))
    assert one_by_one == Betting(spaced(16)).fold(values)


@given(VALUES)
def test_less_certainty_is_a_higher_bound(values) -> None:
    """Bounds are nested, for the bets do not depend on the level."""
    state = Betting().fold(np.array(values))
    bounds = [state.lower(alpha) for alpha in (1e-6, 0.01, 0.05, 0.5)]
    assert bounds == sorted(bounds)
    assert 0 <= bounds[0] <= bounds[-1] <= 1


def test_states_do_not_add_up() -> None:
    """Merging is an error that says what to do."""
    with pytest.raises(TypeError, match="fold the second log's rows"):
        Betting() + Betting()
