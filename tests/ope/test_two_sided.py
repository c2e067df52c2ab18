"""What holds for every bound that goes through the rows, and for every quantity that it is of."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ope.intervals.betting import Betting, spaced
from ope.intervals.confidence import Confidence, Side
from ope.intervals.empirical_bernstein import Bounded
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import (
    Claim,
    difference_outcomes,
    dr_outcomes,
    ips_outcomes,
    lift_outcomes,
    truncated_dr_outcomes,
)
from ope.intervals.two_sided import TwoSided

FOLDS = {"betting": Betting(spaced(64)), "mixture": Mixture(), "bernstein": Bounded(40.0)}
MOST = 8.0
ROW = st.tuples(st.floats(0, MOST), *(st.floats(0, 1) for _ in range(3)), st.floats(0, MOST))
LOGS = st.lists(ROW, min_size=1, max_size=40).map(lambda rows: np.array(rows).T)
QUANTITIES = {
    "ips": (lambda w, r, q, d, _: ips_outcomes(w, r), Claim(0.0, 1.0)),
    "dr": (lambda w, r, q, d, _: dr_outcomes(w, r, q, d, most=MOST), Claim(0.0, 1.0, k=MOST)),
    "lift": (lambda w, r, q, d, _: lift_outcomes(w, r), Claim(0.0, 1.0, k=1.0, lift=True)),
    "difference": (lambda w, r, q, d, v: difference_outcomes(w, v, r), Claim(0.0, 1.0, k=1.0, lift=True)),
}
EACH = pytest.mark.parametrize(("fold", "quantity"), [(f, q) for f in FOLDS for q in QUANTITIES])
PROPERTY = settings(max_examples=25)


def bounds(fold, quantity, log, confidence=Confidence(0.8)):  # noqa: B008 - a frozen value
    """Return the interval of a quantity over a log."""
    outcomes, claim = QUANTITIES[quantity]
    start = TwoSided(FOLDS[fold], FOLDS[fold])
    return start.fold(outcomes(*log)).bounds(claim, confidence)


@EACH
@PROPERTY
@given(LOGS)
def test_more_confidence_is_a_wider_interval(fold, quantity, log) -> None:
    """Nested in the level."""
    found = [bounds(fold, quantity, log, Confidence(level)) for level in (0.5, 0.9, 0.99)]
    assert found == sorted(found, key=lambda one: -one[0])
    assert found == sorted(found, key=lambda one: one[1])


@EACH
@PROPERTY
@given(LOGS)
def test_a_one_sided_bound_is_inside_the_two_sided_one(fold, quantity, log) -> None:
    """All of the error on one side is a tighter bound there, and none on the other."""
    low, high = bounds(fold, quantity, log)
    lower, above = bounds(fold, quantity, log, Confidence(0.8, Side.LOWER))
    below, upper = bounds(fold, quantity, log, Confidence(0.8, Side.UPPER))
    assert (above, below) == (math.inf, -math.inf)
    assert low <= lower
    assert upper <= high
    # One side at half of the error is that side of both.
    assert bounds(fold, quantity, log, Confidence(0.9, Side.LOWER))[0] == pytest.approx(low, abs=1e-9)


@EACH
@PROPERTY
@given(LOGS)
def test_turning_the_rewards_over_turns_the_interval_over(fold, quantity, log) -> None:
    """With 1 - r for r, and for the predictions, a value becomes 1 less it and a difference its opposite."""
    w, r, q, d, v = log
    low, high = bounds(fold, quantity, log)
    end = 0.0 if QUANTITIES[quantity][1].lift else 1.0
    turned = bounds(fold, quantity, (w, 1 - r, 1 - q, 1 - d, v))
    assert turned == pytest.approx((end - high, end - low), abs=1e-6)


@PROPERTY
@given(LOGS)
def test_swapping_two_policies_swaps_the_sign(log) -> None:
    """The interval of V(π) - V(π') is that of V(π') - V(π) turned around."""
    w, r, q, d, v = log
    low, high = bounds("mixture", "difference", log)
    assert bounds("mixture", "difference", (v, r, q, d, w)) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_value_is_one_that_the_bounds_are_true_of(quantity) -> None:
    """Over 10^6 rows of a known world no value is below 0 and their means are what the claim says, to 5 errors."""
    rng = np.random.default_rng(8)
    logging, target, other = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6]), np.array([0.1, 0.8, 0.1])
    means, model = np.array([0.2, 0.5, 0.8]), np.array([0.4, 0.4, 0.6])
    a = rng.choice(3, 1_000_000, p=logging)
    r = (rng.random(a.size) < means[a]).astype(float)
    w, v = (target / logging)[a], (other / logging)[a]
    outcomes, claim = QUANTITIES[quantity]
    found = outcomes(w, r, model[a], np.full(a.size, target @ model), v)
    truth = {"lift": (target - logging) @ means, "difference": (target - other) @ means}.get(quantity, target @ means)
    for values, bound in ((found.above, claim.lower), (found.below, claim.upper)):
        assert values.min() >= 0
        assert values.mean() <= 1
        slack = 5 * values.std() / 1000 * (1 + claim.k)
        assert abs(bound(float(values.mean())) - truth) < slack


def test_each_action_has_its_own_weight_in_the_sum() -> None:
    """Over both actions of a log, exactly: cut predictions leave the value unbiased; one weight for all would not."""
    p_log, p_target, means = np.array([0.9, 0.1]), np.array([0.1, 0.9]), np.array([0.5, 0.7])
    q, k = np.array([0.9, 0.9]), 1.0
    truth = p_target @ means
    both = np.array([0, 1])
    for r, expected in ((means, truth), (means, 1 - truth)):
        found = truncated_dr_outcomes(
            np.tile(p_target, (2, 1)), np.tile(p_log, (2, 1)), np.tile(q, (2, 1)), chosen=both, r=r, k=k
        )
        values = found.above if expected == truth else found.below
        assert p_log @ (values * (1 + k) - k) == pytest.approx(expected)
        assert values.min() >= 0
    literal = [w * (m - min(0.9, k / w)) + min(0.9, k / w) for w, m in zip(p_target / p_log, means, strict=True)]
    assert abs(p_log @ literal - truth) > 0.2


def test_an_action_that_was_never_logged_is_left_out() -> None:
    """A probability of 0 in the log makes no infinite or undefined value."""
    found = truncated_dr_outcomes(
        np.array([[0.5, 0.5]]),
        np.array([[1.0, 0.0]]),
        np.array([[0.3, 0.9]]),
        chosen=np.array([0]),
        r=np.array([1.0]),
        k=2.0,
    )
    assert found.above.tolist() == pytest.approx([(0.5 * (1 - 0.3) + 0.5 * 0.3 + 2) / 3])


def test_what_doubly_robust_values_need_is_said() -> None:
    """A weight above the declared one, or a prediction outside the range, is named with its row."""
    one = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="row 2 has 9; a weight is at most 8"):
        dr_outcomes(np.array([1.0, 9.0]), one, one, one, most=8.0)
    with pytest.raises(ValueError, match=r"row 1 has 1\.5; q, a predicted reward"):
        dr_outcomes(one, one, np.array([1.5, 0.0]), one, most=8.0)


def test_rounding_is_no_larger_weight() -> None:
    """A weight of 0.9/0.1 is 9, whatever floating point makes of it; no value falls below 0 by it."""
    w, one = np.array([9.0 * (1 + 1e-12)]), np.array([1.0])
    found = dr_outcomes(w, 0 * one, one, 0 * one, most=9.0)
    assert found.above.tolist() == [0.0]
    assert found.below.tolist() == pytest.approx([1.9], abs=1e-15)
    with pytest.raises(ValueError, match="a weight is at most 9"):
        dr_outcomes(9.0 * (1 + 1e-6) * one, one, one, one, most=9.0)


@pytest.mark.parametrize(("fold", "kind"), [("mixture", Mixture), ("betting", Betting)])
def test_a_state_is_kept_and_gone_on_from(fold, kind) -> None:
    """Written as JSON each day and read again, the bounds are those of one pass to the bit."""
    rng = np.random.default_rng(9)
    w, r = rng.pareto(2, 500), rng.random(500)
    state = TwoSided(FOLDS[fold], FOLDS[fold])
    for day in np.array_split(np.arange(500), 9):
        state = state.fold(ips_outcomes(w[day], r[day]))
        state = msgspec.json.decode(msgspec.json.encode(state), type=TwoSided[kind])
    assert state == TwoSided(FOLDS[fold], FOLDS[fold]).fold(ips_outcomes(w, r))


def test_other_units_move_the_bounds_along() -> None:
    """A claim in another range is the same one, shifted and stretched; no bound leaves the range."""
    assert Claim(2.0, 6.0).lower(0.25) == 3.0
    assert Claim(2.0, 6.0).upper(0.25) == 5.0
    assert Claim(2.0, 6.0, k=1.0).lower(0.0) == 2.0
    assert Claim(2.0, 6.0, k=1.0, lift=True).lower(0.0) == -4.0
    assert Claim(2.0, 6.0, k=1.0, lift=True).upper(0.75) == -2.0
