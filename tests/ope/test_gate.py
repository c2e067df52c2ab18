"""The gate: each rule decides as it says, and the lift is what a hand computes."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from planted import PLANTED, Planted, changed, columns_only, healthy, open_rewards

from ope.diagnostics.checks.table import CODES
from ope.diagnostics.thresholds import DEFAULTS
from ope.errors import InvalidRequest
from ope.gate import rows
from ope.gate.config import Gate
from ope.gate.fold import start
from ope.gate.groups import FEW_ROWS, NOT_RULES, OF_THE_LOG, ROWS
from ope.gate.growth import expected_total
from ope.gate.judge import gate_frame
from ope.gate.methods import METHODS, evidence, needed
from ope.intervals.betting import Betting
from ope.intervals.mixture import Mixture

BETTER = Gate(reward_range=(0, 1), policy="fixed:d")
NAMES = ["rows", "propensities", "support", "mean_weight", "join", "identity", "overlap", "order", "few_rows"]
NAMES += ["outcomes", "ess", "lift"]
HOLDING = {*FEW_ROWS.codes, "ess"}
"""Findings that say that evidence is scarce, which more of it mends."""
STRICT = {"rewards_missing", "time_invalid"}
"""Warnings of the linter that a gate cannot let pass."""


def judge(log, gate=BETTER, **options):
    """Return the verdict on a frame."""
    return gate_frame(log, replace(gate, **options)).verdict


def rule(verdict, name):
    """Return one rule of a verdict."""
    return next(one for one in verdict.rules if one.name == name)


def test_a_better_policy_on_a_healthy_log_is_promoted():
    """Every rule holds, is told in words, and the lower bound is above 0."""
    verdict = judge(healthy())
    assert [one.name for one in verdict.rules] == NAMES
    assert verdict.decision == "promote"
    assert all(one.holds and one.says and not one.way_out for one in verdict.rules)
    assert 0 < verdict.lift.lower < verdict.lift.value < verdict.lift.upper
    assert (verdict.more, verdict.evidence.folded, verdict.evidence.last_id) == (0, 4_000, "d-3999")


@pytest.mark.parametrize("options", [{"policy": "uniform"}, {"margin": 0.2}, {"min_outcomes": 5_000}, {"min_ess": 2e3}])
def test_what_is_not_there_yet_is_held(options):
    """A lift that is not above the margin and counts that are too small hold, with what to do."""
    verdict = judge(healthy(), **options)
    assert verdict.decision == "hold"
    broken = [one for one in verdict.rules if not one.holds]
    assert len(broken) == 1
    assert broken[0].way_out


def test_a_worse_policy_is_to_be_given_up():
    """Where the upper bound is below the margin, waiting is no advice."""
    verdict = judge(healthy(), policy="fixed:a")
    assert verdict.decision == "hold"
    assert verdict.lift.upper < 0
    assert "Give this candidate up" in rule(verdict, "lift").way_out
    assert verdict.more is None


def gate_of(planted: Planted) -> Gate:
    """Return a gate under which the planted fault shows: the champion is another policy than the planted one."""
    given = dict(planted.options)
    limits = tuple(f"{name}={value:g}" for name, value in given.get("limits", {}).items() if value != DEFAULTS[name])
    window = given.get("window")
    through = given.get("trained_through")
    return Gate(
        reward_range=given.get("reward_range", (0.0, 10.0)),
        policy=planted.policy,
        against="uniform" if planted.policy == "logged" else "logged",
        window_s=None if window is None else window / 1e6,
        target_version=None if through is None else f"line-1@{through}",
        trained_elsewhere=planted.policy is None,
        thresholds=limits,
    )


ASKED = [one for one in PLANTED if "segments" not in dict(one.options)]
"""A gate asks about no segments."""


@pytest.mark.parametrize("planted", ASKED, ids=lambda planted: f"{planted.code}-{planted.severity}")
def test_each_fault_of_a_log_does_to_the_verdict_what_the_table_says(planted: Planted):
    """A refusing fault refuses, by a rule that names it, or holds if it is scarcity; a warning refuses seldom."""
    verdict = judge(planted.log(), gate_of(planted))
    because = {code: one.otherwise for one in verdict.rules for code in one.because}
    if planted.code in HOLDING:
        assert verdict.decision == "hold"
    elif planted.severity == "refuse" or planted.code in STRICT:
        assert verdict.decision == "refuse"
        assert because[planted.code] == "refuse"
    else:
        # The champion of the log that hardly explores is uniform, for which it has no support.
        assert (verdict.decision == "refuse") == (planted.code == "no_exploration")
        assert planted.code in {one.code for one in verdict.findings}
    assert all(one.says for one in verdict.rules)
    assert all(one.way_out for one in verdict.rules if not one.holds)


def test_every_finding_has_its_place():
    """Each code of the linter is in exactly one rule, or among those that decide nothing."""
    placed = [code for group in (ROWS, *OF_THE_LOG, FEW_ROWS) for code in group.codes]
    assert sorted([*placed, *NOT_RULES, "overlap"]) == sorted(CODES)


def test_training_data_is_no_evidence():
    """A candidate in a column is refused until somebody says what it learned from."""
    log = columns_only().with_columns(target_propensity="propensity")
    gate = Gate(reward_range=(0, 1))
    refused = rule(judge(log, gate), "overlap")
    assert (refused.holds, refused.otherwise) == (False, "refuse")
    assert rule(judge(log, gate, trained_elsewhere=True), "overlap").holds
    assert rule(judge(log.with_columns(trained=0), gate), "overlap").holds
    assert not rule(judge(log.with_columns(trained=1), gate, trained_elsewhere=True), "overlap").holds


def test_an_unweighed_row_is_refused():
    """Where nobody knows whether the candidate would have done the same, there is no weight, and no fold."""
    verdict = judge(changed("action", None, 5).drop("distribution"))
    assert verdict.decision == "refuse"
    assert rule(verdict, "rows").value == 1
    assert verdict.lift is None


def log_of(w, r, *, v=None):
    """Return a log whose candidate weighs w and, if asked, whose champion does v."""
    p = 0.25
    frame = {"propensity": [p] * len(w), "target_propensity": [p * one for one in w], "reward": r}
    more = {} if v is None else {"action": ["a" if one else "b" for one in v], "n_actions": [4] * len(w)}
    return pl.DataFrame(frame | more, strict=False)


def test_the_lift_is_what_a_hand_computes():
    """Rewards from 0 to 10, weights 2, 0, 1, 1: the lift is mean (w - 1) r, its bound a product of four wagers."""
    w, r = np.array([2.0, 0.0, 1.0, 1.0]), np.array([10.0, 0.0, 5.0, 10.0])
    gate = Gate(reward_range=(0, 10), margin=-8.0, min_outcomes=0, min_ess=0, trained_elsewhere=True)
    verdict = judge(log_of(w.tolist(), r.tolist()), gate)
    assert verdict.lift.value == pytest.approx(10 / 4)
    assert (verdict.lift.candidate, verdict.lift.champion) == pytest.approx((35 / 4, 25 / 4))
    x = (w * r / 10 + 1 - r / 10) / 2
    tested, wealth, scatter = (1 - 0.8) / 2, 0.0, 0.0
    for t, one in enumerate(x, start=1):
        bet = min(math.sqrt(2 * math.log(20) / ((0.25 + scatter) * math.log(1 + t))), 0.5 / tested)
        wealth += math.log(1 + bet * (one - tested))
        scatter += (one - min((0.5 + x[:t].sum()) / (t + 1), 1)) ** 2
    assert verdict.lift.evidence == pytest.approx(wealth, rel=1e-12)
    assert rule(verdict, "lift").holds == (wealth >= math.log(20))
    assert verdict.diagnostics.ess == pytest.approx(16 / 6)
    assert verdict.diagnostics.mean_weight == 1
    assert verdict.lift.needed == pytest.approx(math.log(20))


def test_another_champion_is_judged_on_the_same_rows():
    """fixed:d against uniform: the difference of both weights' values, whichever of the two stands in a column."""
    log = healthy()
    verdict = judge(log, against="uniform")
    p, hit, r = log["propensity"], log["action"] == "d", log["reward"]
    assert verdict.lift.candidate == pytest.approx((hit / p * r).mean())
    assert verdict.lift.champion == pytest.approx((0.25 / p * r).mean())
    expected = (hit / p * r - 1 + 0.25 / p * (1 - r)).mean()
    assert verdict.lift.value == pytest.approx(expected)
    x = (hit / p * r + 0.25 / p * (1 - r)).to_numpy() / 2
    assert verdict.lift.evidence == pytest.approx(Betting((0.0, 0.5)).fold(x).log_wealth()[1], rel=1e-12)
    column = log.with_columns(target_propensity=hit.cast(pl.Float64))
    same = judge(column, policy=None, trained_elsewhere=True, against="uniform")
    assert same.lift == verdict.lift
    assert same.evidence.rows == verdict.evidence.rows
    assert {one.where.policy for one in same.findings} <= {"uniform", "columns", None}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_the_rule_is_the_bound(method, margin):
    """The lift is above the margin exactly where its lower bound is, for either method and any margin."""
    verdict = judge(healthy(), method=method, margin=margin)
    assert rule(verdict, "lift").holds == (verdict.lift.lower >= margin)
    assert verdict.lift.lower == pytest.approx(judge(healthy(), method=method).lift.lower, abs=0.01)


def test_telling_only_the_margin_tells_the_same():
    """The state that simulations use has the evidence of the whole one, to the bit."""
    rng = np.random.default_rng(0)
    w, r = rng.exponential(1, 3_000), rng.random(3_000)
    gate = Gate(reward_range=(0, 1), margin=0.02)
    whole, only = (start(gate, only_margin=only).fold(gate, w, np.ones_like(w), r) for only in (False, True))
    assert whole.evidence(gate) == only.evidence(gate)


def test_rows_are_taken_in_the_order_of_their_times():
    """A shuffled log is sorted by `at`: same decisions, same evidence, to the bit; equal times keep their order."""
    log = healthy()
    shuffled = log.sample(fraction=1, shuffle=True, seed=0)
    first, second = judge(log), judge(shuffled)
    assert rule(second, "order").says == "Decisions were sorted by their times."
    assert (second.lift, second.evidence.rows) == (first.lift, first.evidence.rows)
    without = judge(shuffled.drop("at"))
    assert without.evidence.rows != first.evidence.rows
    assert "as they stand" in rule(without, "order").says


def test_disorder_between_parts_is_seen(monkeypatch):
    """Parts that are in order each and come in the wrong order are sorted too."""
    monkeypatch.setattr(rows, "AT_ONCE", 50)
    log = healthy().head(200)
    swapped = pl.concat([log.tail(100), log.head(100)]).rechunk()
    assert judge(swapped).evidence.rows == judge(log).evidence.rows


def test_decisions_behind_an_open_one_wait():
    """The fold ends before the first open outcome: taking the settled ones behind it would favour fast rewards."""
    verdict = judge(open_rewards(3_950, 3_960, 3_970), window_s=60 * 60 * 2)
    assert (verdict.evidence.folded, verdict.evidence.waiting, verdict.decision) == (3_949, 51, "promote")
    assert "rewards_immature" in {one.code for one in verdict.findings}
    same = judge(healthy().head(3_949))
    assert same.lift == verdict.lift


def test_any_frame_gives_the_same_verdict():
    """pandas, pyarrow and polars hold the same log."""
    log = columns_only().with_columns(target_propensity=0.25)
    gate = Gate(reward_range=(0, 1), trained_elsewhere=True)
    expected = judge(log, gate)
    for frame in (log.lazy(), log.to_pandas(), log.to_arrow()):
        found = judge(frame, gate)
        assert (found.lift, found.evidence.rows, found.decision) == (
            expected.lift,
            expected.evidence.rows,
            expected.decision,
        )


@pytest.mark.parametrize("method", METHODS)
def test_the_expected_number_of_decisions_is_when_it_happens(method):
    """Rows that repeat themselves: what is expected after 200 of them is right to 10% for three lifts."""
    state_of = {"betting": lambda mean: Betting((0.0, mean)), "eb_mixture": lambda _: Mixture()}[method]
    for lift in (0.02, 0.03, 0.05):
        gate = Gate(reward_range=(0, 1), method=method)
        tested = gate.mean_at(0)
        cycle = np.array([0.2, 0.8, 0.45, 0.55, 0.5]) + lift / 2
        state = state_of(tested).fold(np.tile(cycle, 40))
        expected = expected_total(state, tested, evidence(state, tested), needed(gate.alpha))
        while evidence(state, tested) < needed(gate.alpha):
            state = state.fold(cycle)
        assert expected == pytest.approx(state.n, rel=0.1, abs=5)


def test_scarce_counts_are_expected_in_proportion():
    """1,000 of 5,000 decisions are there: 4,000 more; half of the effective rows: as many decisions again."""
    log = healthy().head(1_000)
    assert judge(log, min_outcomes=5_000).more == 4_000
    ess = judge(log).diagnostics.ess
    assert judge(log, min_ess=2 * ess).more == pytest.approx(1_000, abs=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"margin": 1.0}, "--margin is 1"),
        ({"margin": math.nan}, "--margin is nan"),
        ({"alpha": 0.0}, "--alpha is 0"),
        ({"alpha": 1.0}, "--alpha is 1"),
        ({"method": "normal"}, "unknown method 'normal'"),
        ({"policy": "logged"}, "is the champion itself"),
        ({"against": "fixed:d"}, "is the champion itself"),
        ({"policy": "best"}, "unknown policy 'best'"),
        ({"against": "best"}, "unknown policy 'best'"),
        ({"min_ess": -1}, "--min-ess is -1"),
        ({"min_outcomes": math.inf}, "--min-outcomes is inf"),
        ({"reward_range": (1, 0)}, "--reward-range is 1,0"),
        ({"thresholds": ("ess=1",)}, "unknown threshold 'ess'"),
        ({"target_version": "x"}, "--target-version is 'x'"),
    ],
)
def test_what_cannot_be_asked_says_why(options, says):
    """Each error names the value, and is raised before any log is read."""
    with pytest.raises(InvalidRequest, match=says):
        replace(BETTER, **options)


def test_rows_that_stand_for_several_are_refused():
    """A log that kept some of its rows has no decision order to go through."""
    with pytest.raises(InvalidRequest, match="stand for several"):
        judge(healthy().with_columns(row_weight=2.0))
    assert judge(healthy().with_columns(row_weight=1.0)).decision == "promote"


def test_no_candidate_is_an_error():
    """Without a policy and a column there is nobody to judge."""
    with pytest.raises(InvalidRequest, match="there is no candidate"):
        judge(healthy(), policy=None)


def test_a_config_is_named_by_what_it_says():
    """1 and 1.0 are one config; any other field makes another."""
    assert Gate(reward_range=(0, 1), min_ess=5).digest() == Gate(reward_range=(0.0, 1.0), min_ess=5.0).digest()
    changes = [{"margin": 0.1}, {"alpha": 0.1}, {"method": "eb_mixture"}, {"policy": "uniform"}, {"min_ess": 6}]
    changes += [{"against": "uniform"}, {"reward_range": (0, 2)}, {"trained_elsewhere": True}, {"window_s": 1.0}]
    assert len({BETTER.digest(), *(replace(BETTER, **one).digest() for one in changes)}) == len(changes) + 1
