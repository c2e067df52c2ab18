"""The empirical Bernstein bound, by hand and as a state that merges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ope.intervals.empirical_bernstein import Bounded, Moments
from ope.intervals.outcomes import ips_outcomes

VALUES = st.lists(st.floats(0, 5), max_size=30)


def test_by_hand() -> None:
    """Three values 0, 2, 4 in [0, 4] and ln(2/α) = 3: mean 2, s² 4, so 2 - √(2·4·3/3) - 7·4·3/(3·2)."""
    state = Moments.of(np.array([0.0, 2.0, 4.0]))
    assert (state.n, state.mean, state.scatter) == (3, 2.0, 8.0)
    assert state.lower(2 * math.exp(-3), span=4.0) == pytest.approx(2 - math.sqrt(8) - 14)


def test_few_rows_bound_nothing() -> None:
    """One value has no variance; the bound of values of at least 0 is then 0."""
    assert Moments.of(np.array([3.0])).lower(0.05, span=4.0) == -math.inf
    assert Bounded(4.0).lower(0.05) == 0.0


@given(VALUES, VALUES)
def test_states_merge(a, b) -> None:
    """The moments of two logs, added, are those of one."""
    whole, merged = Moments.of(np.array(a + b)), Moments.of(np.array(a)) + Moments.of(np.array(b))
    assert merged.n == whole.n
    assert (merged.mean, merged.scatter) == pytest.approx((whole.mean, whole.scatter), abs=1e-9)


@given(VALUES)
def test_less_certainty_is_a_higher_bound(values) -> None:
    """Nested, and never above the mean."""
    state = Moments.of(np.array(values))
    bounds = [state.lower(alpha, span=5.0) for alpha in (1e-6, 0.05, 0.5)]
    assert bounds == sorted(bounds)
    assert bounds[-1] <= state.mean


def test_what_was_declared_is_held_to() -> None:
    """A value outside of what was declared is refused: the bound would be false, and nobody would see it."""
    with pytest.raises(ValueError, match=r"outside \[0, 2\]"):
        Bounded(2.0).fold(np.array([1.0, 2.5]))
    with pytest.raises(ValueError, match=r"outside \[0, 2\]"):
        Bounded(2.0).fold(np.array([-0.1]))


def test_weights_that_were_cut_keep_both_bounds_true() -> None:
    """Cut weights only lower the values: bounds from them are below and above those that the true means give."""
    rng = np.random.default_rng(4)
    w, r = rng.pareto(1.5, 200_000) * 0.5, rng.random(200_000)
    cut = ips_outcomes(np.minimum(w, 3.0), r)
    whole = ips_outcomes(w, r)
    assert cut.above.mean() < whole.above.mean()
    assert cut.below.mean() < whole.below.mean()
    assert Bounded(3.0).fold(cut.above).lower(0.05) < whole.above.mean()


def test_rounding_is_no_value_outside() -> None:
    """A weight that floating point made larger than the declared one by 1e-12 is that one; 1e-6 more is refused."""
    assert Bounded(4.0).fold(np.array([1.0, 4.0 * (1 + 1e-12)])).moments.n == 2
    with pytest.raises(ValueError, match="outside"):
        Bounded(4.0).fold(np.array([1.0, 4.0 * (1 + 1e-6)]))
