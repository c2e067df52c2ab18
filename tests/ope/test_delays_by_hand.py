"""Delayed rewards, checked by hand: windows in steps of a second, weights of 1, so that IPS is the mean reward."""

import math
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from ope.delays.delay_model import LEAST_REWARDS
from ope.delays.product_limit import delay_distribution
from ope.errors import InvalidRequest
from tests.ope.delayed import WINDOW, by_hand, evaluated, now

OLD = -5 * WINDOW
"""Seconds before START at which decisions are mature in any of these tests."""


def value(log, **asked):
    """Return the value of IPS."""
    return evaluated(log, **asked).estimates[0].value


def delays_of(*pairs):
    """Return the delay distribution of these (delay, age) pairs over four steps."""
    delays, ages = zip(*pairs, strict=True)
    return delay_distribution(np.bincount(delays, minlength=4), np.bincount(ages, minlength=4))


def test_the_delay_distribution_without_truncation_is_the_empirical_one():
    """All rewards' decisions are as old as the window: F(u) is the share of delays of at most u."""
    assert delays_of((0, 3), (1, 3), (1, 3), (3, 3)) == pytest.approx([1 / 4, 3 / 4, 3 / 4, 1])


def test_the_delay_distribution_by_hand():
    """Delays 0, 1, 2, 3 of decisions of ages 1, 3, 3, 3.

    At 3: one reward of 3 at risk (0 is not: its decision is younger): factor 2/3. At 2: one of 2: factor 1/2. At 1: one
    of the two of delay 0 and 1: factor 1/2. So F = 1/6, 1/3, 2/3, 1, where counting alone would say 1/4, 1/2, 3/4, 1.
    """
    assert delays_of((0, 1), (1, 3), (2, 3), (3, 3)) == pytest.approx([1 / 6, 1 / 3, 2 / 3, 1])


def test_where_everything_at_risk_came_at_once_nothing_comes_before():
    """One mature reward of delay 3, one young of delay 0: at 3, all at risk come, so that F below is 0."""
    assert delays_of((3, 3), (0, 1)) == pytest.approx([0, 0, 0, 1])


MIXED = by_hand(
    [
        (0, 100, 5.0),  # mature at 1,000, in time
        (0, 1_000, 7.0),  # just in time
        (0, 1_001, 9.0),  # too late: silence
        (0, None, None),  # silence
        (1, 10, 50.0),  # 999 s old: too young, although rewarded
        (500, None, None),  # too young
    ]
)


def test_mature_counts_the_old_with_what_came_in_time():
    """Four decisions are as old as the window; 5, 7, silence and silence, at 0 or at -1."""
    found = evaluated(MIXED, unresolved="mature", now=now(1_000))
    assert (found.n, found.estimates[0].value) == (4, 3.0)
    assert value(MIXED, unresolved="mature", now=now(1_000), default_reward=-1.0) == 2.5
    assert asdict(found.delayed) == {
        "unresolved": "mature",
        "now": "2026-03-14T00:16:40Z",
        "window_s": 1000.0,
        "left_out": 2,
        "open": 0,
        "late": 0,  # at 1,000 s it has not come yet
    }


def test_now_is_the_latest_time_in_the_log_unless_it_is_said():
    """The reward of 1,001 s is the latest time: then five decisions are mature, and a note says where now is from."""
    found = evaluated(MIXED, unresolved="mature")
    assert (found.n, found.estimates[0].value, found.delayed.late) == (5, pytest.approx(62 / 5), 1)
    assert found.notes[0].startswith("mature: as of 2026-03-14T00:16:41Z, the latest time in the log, 1 decisions are")
    assert found.notes[1] == "mature: 1 rewards came later than 1,000 s and count as silence, which is worth 0"


def test_an_earlier_now_shows_the_log_as_it_was_then():
    """What came or was decided since is not seen: at 90 s with a window of 50 s, the reward of 50 alone has come."""
    found = evaluated(MIXED, unresolved="mature", now=now(90), window_s=50)
    assert (found.n, found.delayed.left_out, found.estimates[0].value) == (5, 1, 10.0)
    assert evaluated(MIXED, unresolved="mature", now=now(150), window_s=50).delayed.late == 1


def test_bounds_by_hand():
    """At 600 s, all six are open but two that have been rewarded: 55/6 if they earn 0, and 95/6 if they earn 10."""
    log = MIXED.with_columns(reward=pl.col("reward").clip(upper_bound=10))
    found = evaluated(log, unresolved="bounds", now=now(600), reward_range=(0, 10))
    (estimate,) = found.estimates
    assert estimate.value_bounds == (pytest.approx(15 / 6), pytest.approx(55 / 6))
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.stderr)
    assert (found.n, found.delayed.open, found.delayed.left_out) == (6, 4, 0)


def test_bounds_know_nothing_of_what_was_decided_later():
    """At 400 s the decision of 500 s is not there: of five, one has come by then with 5 and one with 10."""
    log = MIXED.with_columns(reward=pl.col("reward").clip(upper_bound=10))
    found = evaluated(log, unresolved="bounds", now=now(400), reward_range=(0, 10))
    assert found.estimates[0].value_bounds == (pytest.approx(15 / 5), pytest.approx(45 / 5))
    assert (found.n, found.delayed.open, found.delayed.left_out) == (5, 3, 1)


def test_bounds_take_old_silence_for_what_it_is():
    """At 1,000 s the two that are old and silent earn nothing, and only the one of 500 s is open."""
    log = MIXED.with_columns(reward=pl.col("reward").clip(upper_bound=10))
    (estimate,) = evaluated(log, unresolved="bounds", now=now(1_000), reward_range=(0, 10)).estimates
    assert estimate.value_bounds == (pytest.approx(22 / 6), pytest.approx(32 / 6))


def test_bounds_without_a_window_need_no_times():
    """Each null is open: rewards 1 and 0 and one null are from 1/3 to 2/3."""
    log = pl.DataFrame({"reward": [1.0, 0.0, None], "propensity": [0.5] * 3, "target_propensity": [0.5] * 3})
    found = evaluated(log, unresolved="bounds", window_s=None, reward_range=(0, 1))
    assert found.estimates[0].value_bounds == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found.delayed.now, found.delayed.open) == (None, 1)


def test_the_interval_of_bounds_is_the_lower_end_of_one_and_the_upper_of_the_other():
    """Filling in by hand gives the same two intervals."""
    log = pl.DataFrame({"reward": [1.0, 0.0, None, 1.0], "propensity": [0.5] * 4, "target_propensity": [0.5] * 4})
    (estimate,) = evaluated(log, unresolved="bounds", window_s=None, reward_range=(0, 1)).estimates
    (low, high) = (
        evaluated(log.with_columns(pl.col("reward").fill_null(end)), unresolved="refuse", window_s=None).estimates[0]
        for end in (0.0, 1.0)
    )
    assert estimate.interval == (low.interval[0], high.interval[1])


YOUNG_AND_OLD = [*[(OLD, 100, 1.0)] * 30, *[(OLD, 700, 1.0)] * 30, *[(OLD, None, None)] * 40]
"""Of 100 mature decisions, 60 are rewarded: half of them after 100 s, half after 700 s."""


def test_a_young_reward_counts_for_those_that_have_not_come():
    """At 500 s, F is 1/2 by the 60 mature rewards and 3 young ones.

    At 700, 60 of the 63 that came by then are at risk, 30 of them come: F(699) = 1/2. The young 3 of 10 count twice.
    """
    log = by_hand([*YOUNG_AND_OLD, *[(0, 100, 1.0)] * 3, *[(0, None, None)] * 7])
    assert value(log, unresolved="ipcw", now=now(500)) == pytest.approx((60 + 3 * 2) / 110)
    assert value(log, unresolved="mature", now=now(500)) == pytest.approx(60 / 100)


def test_silence_is_what_rewards_are_weighed_against():
    """With silence worth -1 and rewards of 3, a reward counts -1 + 4/F."""
    log = by_hand([*YOUNG_AND_OLD, *[(0, 100, 1.0)] * 3, *[(0, None, None)] * 7])
    log = log.with_columns(reward=pl.col("reward") * 3)
    found = value(log, unresolved="ipcw", now=now(500), default_reward=-1.0)
    assert found == pytest.approx((60 * 3 - 40 + 3 * (-1 + 4 / 0.5) - 7) / 110)


def test_who_is_too_young_is_left_out_whether_rewarded_or_not():
    """At an age of 50 s F is 0, so that those 10 decisions say nothing; at 100 s it is 1/2, so that the other 10 do."""
    log = by_hand([*YOUNG_AND_OLD, *[(0, 100, 1.0)] * 3, *[(0, None, None)] * 7, *[(50, None, None)] * 10])
    found = evaluated(log, unresolved="ipcw", now=now(100))
    assert (found.n, found.delayed.left_out, found.delayed.open) == (110, 10, 7)
    assert found.estimates[0].value == pytest.approx((60 + 3 * 2) / 110)


def test_the_last_step_that_has_begun_is_not_looked_at():
    """A reward of 100.5 s counts as of 101 s, and its decision of 100.9 s is seen as it was at 100 s: too young."""
    log = by_hand([*YOUNG_AND_OLD, (0, 100.5, 1.0), *[(0, None, None)] * 9])
    found = evaluated(log, unresolved="ipcw", now=now(100.9))
    assert (found.n, found.estimates[0].value) == (110, pytest.approx(60 / 110))


BY_ACTION = by_hand(
    [
        *[(OLD, 100, 1.0)] * 30,
        *[(OLD, 100, 1.0)] * 15,
        *[(OLD, 700, 1.0)] * 15,
        *[(0, 100, 1.0)] * 4,
        *[(0, None, None)] * 6,
    ],
    action=[*["fast"] * 30, *["slow"] * 30, *["slow"] * 2, *["fast"] * 2, *["slow"] * 6],
)


def test_each_action_has_its_own_delays():
    """All of fast's rewards have come by 500 s, half of slow's: its two count twice."""
    found = evaluated(BY_ACTION, unresolved="ipcw", now=now(500), delay_by="action")
    assert found.estimates[0].value == pytest.approx((60 + 2 * 2 + 2) / 70)
    assert "ipcw: 2 values of action have delays of their own, others share theirs" in found.notes


def test_actions_with_few_rewards_share_their_delays():
    """Rare has one reward: its delays are those of all, of which 3/4 come by 500 s."""
    log = BY_ACTION.with_columns(action=pl.when(pl.int_range(pl.len()) == 60).then(pl.lit("rare")).otherwise("action"))
    found = evaluated(log, unresolved="ipcw", now=now(500), delay_by="action")
    assert found.estimates[0].value == pytest.approx((60 + 1 * 2 + 2 + 1 / 0.75) / 70)


def test_young_rows_of_all_actions_are_left_out_together():
    """At 100 s fast's rewards have come and none of slow's, which come after 700 s: rows of both are left out."""
    log = by_hand(
        [*[(OLD, 100, 1.0)] * 30, *[(OLD, 700, 1.0)] * 30, (0, 100, 1.0), (0, None, None)],
        action=[*["fast"] * 30, *["slow"] * 30, "fast", "slow"],
    )
    found = evaluated(log, unresolved="ipcw", now=now(500), delay_by="action")
    assert (found.n, found.delayed.left_out, found.estimates[0].value) == (60, 2, 1.0)


def test_delays_are_not_made_of_few_rewards():
    """One reward less than the least is refused, with the number and what to do."""
    few = by_hand([*[(OLD, 100, 1.0)] * (LEAST_REWARDS - 1), (0, None, None)])
    with pytest.raises(InvalidRequest, match="29 rewards came within the window, and delays are estimated from 30"):
        evaluated(few, unresolved="ipcw", now=now(0))


@pytest.mark.parametrize("way", ["mature", "ipcw"])
def test_without_delays_each_way_is_the_plain_evaluation(way):
    """Where every reward came at once and every decision is mature, all estimators agree with the plain ones."""
    rng = np.random.default_rng(3)
    rows = [(OLD, 0, float(reward)) for reward in rng.random(200)]
    log = by_hand(rows).with_columns(
        propensity=pl.Series(rng.uniform(0.1, 1, 200)),
        target_propensity=pl.Series(rng.random(200)),
        q_logged=pl.Series(rng.random(200)),
        q_target=pl.Series(rng.random(200)),
    )
    plain = evaluated(log, estimators=None, unresolved="refuse", window_s=None)
    found = evaluated(log, estimators=None, unresolved=way, now=now(0))
    assert [one.estimator for one in found.estimates] == [one.estimator for one in plain.estimates]
    for one, other in zip(found.estimates, plain.estimates, strict=True):
        assert (one.value, one.stderr) == (
            pytest.approx(other.value, abs=1e-12),
            pytest.approx(other.stderr, abs=1e-12),
        )
