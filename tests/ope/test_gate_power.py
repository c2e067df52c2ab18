"""`ope power`: its numbers of decisions are those of the gate itself, by simulation of the very bound."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from planted import changed, columns_only, healthy
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.errors import InvalidLog, InvalidRequest
from ope.gate import paths
from ope.gate import pilot as pilots
from ope.gate.config import Gate
from ope.gate.fold import start
from ope.gate.methods import evidence, needed
from ope.gate.paths import Ends, decisions_for, followed
from ope.gate.pilot import Pilot
from ope.gate.power import plan_frame
from ope.gate.rows import Part
from ope.intervals.betting import Betting
from ope.intervals.outcomes import difference_outcomes
from simulator.experiments.coverage_worlds import WORLDS
from simulator.experiments.peeking_worlds import lifted

GATE = Gate(reward_range=(0, 1))
RIGHT = 0.15
"""How far a plan may be off, relatively.

Of a chance of 0.8, 1,600 simulated runs leave an error of 0.01 and the plan's own paths one of 0.009. Where the chance
grows slowest, with the log of the decisions by 0.2, that is 7% of the decisions, and 15% are two standard errors of
this test; elsewhere it is 3%. All is seeded.
"""

few_paths = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch):
    """Plan with fewer paths, where numbers need not be right."""
    monkeypatch.setattr(paths, "PATHS", 250)


def pilot_of(w, r, gate=GATE):
    """Return a pilot of weights and rewards."""
    return Pilot.of([Part([""] * len(w), np.zeros(len(w), np.int64), w, np.ones_like(w), r)], gate)


@cache
def world_pilot(name):
    """Return a pilot from one log of a world, with rewards that are any number if it is named so."""
    rng = np.random.default_rng(5)
    world = next(one for one in WORLDS if one.name == name.removeprefix("continuous "))
    rows = world.draw(rng, 1, 20_000 if name == "rare" else 4_000).log(0)
    r = np.clip(rows.r * 0.5 + rng.random(rows.r.shape) * 0.5, 0, 1) if name.startswith("continuous") else rows.r
    return pilot_of(rows.w, r)


def simulated(pilot, gate, lift, power, *, around, runs):
    """Return after how many decisions the gate is open with that chance, by its own bound over rows of the log."""
    looks = np.unique((around * np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])).astype(int))
    shifted, rng = pilot.with_lift(lift), np.random.default_rng(11)
    opened = np.zeros(len(looks))
    for _ in range(runs):
        w, v, r = shifted.sampled(looks[-1], rng)
        state = start(gate, only_margin=True).above
        values = difference_outcomes(w, v, r).above
        for i, (begin, end) in enumerate(zip([0, *looks], looks, strict=False)):
            state = state.fold(values[begin:end])
            opened[i] += evidence(state, gate.mean_at(gate.margin)) >= needed(gate.alpha)
    return float(np.interp(power, np.maximum.accumulate(opened / runs), looks))


def check(name, lift, *, power=0.8, runs=1600, right=RIGHT, **options):
    """Compare the plan with the simulation."""
    gate, pilot = replace(GATE, **options), world_pilot(name)
    planned = decisions_for(pilot.with_lift(lift), gate, power)
    found = simulated(pilot, gate, lift, power, around=planned, runs=runs)
    assert planned == pytest.approx(found, rel=right)


@pytest.mark.parametrize("method", ["betting", "eb_mixture"])
@pytest.mark.parametrize(("name", "lift"), [("iid", 0.15), ("rare", 0.03)])
def test_a_plan_is_right(name, lift, method):
    """The number of decisions is within 15% of that of 1,600 simulated experiments, plain and with rare rewards."""
    check(name, lift, method=method)


@pytest.mark.deep
@pytest.mark.parametrize("method", ["betting", "eb_mixture"])
@pytest.mark.parametrize(
    ("name", "lift", "alpha", "power", "margin"),
    [
        ("iid", 0.05, 0.05, 0.8, 0.0),
        ("iid", 0.1, 0.01, 0.9, 0.0),
        ("iid", 0.1, 0.05, 0.8, 0.04),
        ("adaptive", 0.1, 0.05, 0.8, 0.0),
        ("heavy", 0.2, 0.05, 0.8, 0.0),
        ("rare", 0.006, 0.05, 0.8, 0.0),
        ("continuous iid", 0.03, 0.05, 0.8, 0.0),
    ],
)
def test_plans_are_right_in_every_world(name, lift, alpha, power, margin, method):
    """As above: small lifts, another α and power, a margin, a logger that learned, heavy weights, any rewards."""
    check(name, lift, alpha=alpha, power=power, margin=margin, method=method)


@pytest.mark.deep
def test_rare_rewards_raise_the_sum_and_what_is_asked_of_it() -> None:
    """The mixture's plan minds that they go together: right to 7%, where it would be off by 11%.

    The chance grows fast here, so that 1,600 runs leave an error of 2% in the number of decisions.
    """
    check("rare", 0.003, method="eb_mixture", right=0.07)


@pytest.mark.deep
def test_a_plan_from_one_log_tells_of_others():
    """A pilot of 4,000 decisions without any lift foretells when new ones with a lift of 0.1 open the gate, to 25%.

    The pilot's own variance adds its error, some 3% of the decisions.
    """
    rng = np.random.default_rng(8)
    w, r = (one[0] for one in lifted(0.0).draw(rng, 1, 4_000))
    planned = decisions_for(pilot_of(w, r).with_lift(0.1), GATE, 0.8)
    w, r = lifted(0.1).draw(rng, 400, int(planned * 1.25))
    opened = {0.75: 0, 1.25: 0}
    for weights, rewards in zip(w, r, strict=True):
        for share in opened:
            n = int(planned * share)
            state = start(GATE, only_margin=True).fold(GATE, weights[:n], np.ones(n), rewards[:n])
            opened[share] += state.above_margin(GATE)
    assert opened[0.75] < 0.8 * 400 < opened[1.25]


def test_the_simulated_bets_are_those_of_the_bound():
    """Followed in two steps, the paths have the wealth, total and scatter of `Betting`, to 1e-9."""
    values, tested = np.random.default_rng(0).exponential(0.5, (3, 900)), 0.5
    halfway = followed(Ends(0, *(np.zeros(3) for _ in range(3))), values[:, :400], tested)(400)
    ends = followed(halfway, values[:, 400:], tested)(500)
    for i in range(3):
        state = Betting((0.0, tested)).fold(values[i])
        assert ends.wealth[i] == pytest.approx(state.log_wealth()[1], rel=1e-9)
        assert (ends.n, ends.total[i], ends.scatter[i]) == pytest.approx((900, state.total, state.scatter), rel=1e-9)


@pytest.mark.parametrize("lift", [-0.2, -0.01, 0.0, 0.05, 0.3])
def test_rewards_are_moved_to_the_lift(lift):
    """The moved log has the lift that was asked for, whatever it had itself, and rewards that it could have."""
    for name in ("iid", "continuous iid"):
        pilot = world_pilot(name)
        shifted = pilot.with_lift(lift)
        values = sum((x * p).mean() for x, p in shifted.outcomes())
        assert 2 * values - 1 == pytest.approx(lift, abs=1e-9)
        assert shifted.s.min() >= 0
        assert shifted.s.max() <= 1
        w, v, s = shifted.sampled(200_000, np.random.default_rng(3))
        assert (w * s - 1 + v * (1 - s)).mean() == pytest.approx(lift, abs=0.015)  # six standard errors
        assert (set(np.unique(s)) == {0.0, 1.0}) == (name == "iid")


def test_a_lift_beyond_all_rewards_is_out_of_reach():
    """No rewards of 0 and 1 make a lift of 0.9 with these weights: the error says which lifts there are."""
    pilot = world_pilot("iid")
    least, most = pilot.lifts()
    with pytest.raises(InvalidRequest, match=f"between {least:.4g} and {most:.4g}"):
        pilot.with_lift(0.9)
    assert decisions_for(pilot.with_lift(most * 0.99), GATE, 0.8) > 0


@few_paths
def test_smaller_lifts_take_more_decisions_and_the_detectable_one_those_there_are():
    """Monotone in lift, power, α and margin; the detectable lift needs as many decisions as the log has."""
    log = columns_only().with_columns(target_propensity=pl.lit(0.25))
    gate = replace(GATE, min_outcomes=0, min_ess=0)
    plan = plan_frame(log, gate, [0.03, 0.05, 0.08])
    counts = [one.decisions for one in plan.planned]
    assert counts == sorted(counts, reverse=True)
    [again] = plan_frame(log, gate, [plan.detectable]).planned
    assert again.decisions == pytest.approx(plan.n, rel=0.03)
    for harder in ({"alpha": 0.01}, {"margin": 0.02}):
        assert plan_frame(log, replace(gate, **harder), [0.05]).planned[0].decisions > counts[1]
    assert plan_frame(log, gate, [0.05], power=0.95).planned[0].decisions > counts[1]


@few_paths
def test_the_gates_other_rules_are_planned_for():
    """Where a lift is seen early, the counts that a gate asks for are what takes time."""
    log = healthy()
    by_outcomes, by_ess = (
        plan_frame(log, Gate(reward_range=(0, 1), policy="fixed:d", **options), [0.3]).planned[0]
        for options in ({"min_outcomes": 50_000}, {"min_ess": 10_000})
    )
    assert (by_outcomes.limit, by_outcomes.decisions) == ("outcomes", 50_000)
    assert by_outcomes.days == pytest.approx(50_000 / 1_440, rel=1e-3)  # a decision each minute
    plan = plan_frame(log, Gate(reward_range=(0, 1), policy="fixed:d"), [0.3])
    assert (by_ess.limit, by_ess.decisions) == ("ess", pytest.approx(10_000 * plan.n / plan.ess, abs=1))


def test_a_long_log_is_planned_from_a_part(monkeypatch):
    """Evenly spaced rows stand for all: the plan of every fourth row is that of all of them, to 10%."""
    log = healthy()
    gate = Gate(reward_range=(0, 1), policy="fixed:d")
    whole = plan_frame(log, gate, [0.08])
    monkeypatch.setattr(pilots, "MOST", 1_000)
    part = plan_frame(log, gate, [0.08])
    assert part.n == whole.n
    assert part.planned[0].decisions == pytest.approx(whole.planned[0].decisions, rel=0.1)


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (lambda: healthy().with_columns(reward=pl.lit(1.0)), "all rewards are equal"),
        (lambda: healthy().with_columns(reward=pl.lit(None, pl.Float64)), "none with an outcome"),
        (lambda: changed("propensity", 0.0, 5), "propensity_zero"),
        (lambda: changed("reward", 3.0, 5), "reward_range"),
    ],
)
def test_a_log_that_tells_nothing_is_an_error(log, says):
    """Constant or open rewards and broken rows make no plan."""
    with pytest.raises(InvalidLog, match=says):
        plan_frame(log(), Gate(reward_range=(0, 1), policy="fixed:d"), [0.1])


def test_the_champion_itself_cannot_be_planned_for():
    """Weights that are all 1 have no lift."""
    log = columns_only().with_columns(target_propensity=pl.col("propensity"))
    with pytest.raises(InvalidLog, match="do the same in every row"):
        plan_frame(log, GATE, [0.1])


@few_paths
def test_the_command_prints_a_plan(tmp_path):
    """A table for one lift and its multiples, exact JSON, and 2 for what cannot be asked."""
    path = tmp_path / "log.parquet"
    healthy().write_parquet(path)

    def run(*more):
        return CliRunner().invoke(app, ["power", str(path), "--policy", "fixed:d", "--reward-range", "0,1", *more])

    told = json.loads(run("--lift", "0.1", "--format", "json").stdout, parse_constant=pytest.fail)
    assert list(told) == ["n", "ess", "lift", "power", "per_day", "detectable", "planned", "config"]
    assert [one["lift"] for one in told["planned"]] == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.4])
    assert [list(one) for one in told["planned"]] == [["lift", "decisions", "limit", "days"]] * 5
    table = run("--lift", "0.1")
    assert table.exit_code == 0
    assert f"{told['planned'][2]['decisions']:,}" in table.stdout
    two = json.loads(run("--lift", "0.3", "--lift", "0.2", "--format", "json").stdout)
    assert [one["lift"] for one in two["planned"]] == [0.2, 0.3]
    for wrong in (["--lift", "0"], ["--lift", "0.1", "--power", "1"], ["--lift", "0.1", "--margin", "0.2"], []):
        assert run(*wrong).exit_code == 2
    changed("propensity", 0.0, 5).write_parquet(path)
    assert run("--lift", "0.1").exit_code == 1
