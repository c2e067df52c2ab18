"""Looked at every day, the gate promotes what is no better in at most α of the runs; the normal interval does not."""

import csv
import json
from functools import cache

import numpy as np
import pytest
import typer
from scipy.stats import binom
from typer.testing import CliRunner

from ope.gate.methods import METHODS
from simulator.experiments import peeking
from simulator.experiments.peeking import BATCH, Plan, Row, allowed, batch, summed
from simulator.experiments.peeking_worlds import NULLS, lifted

ALPHA = 0.05


@cache
def last(name, lift, *, method="betting", runs, days, per_day) -> Row:
    """Return what had been promoted by the last day."""
    plan = Plan(days, per_day, ALPHA, method)
    world = lifted(lift) if lift else next(one for one in NULLS if one.name == name)
    promoted = np.concatenate([batch(name, lift, plan, (23, i)) for i in range(runs // BATCH)])
    return list(summed(world, plan, promoted))[-1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [world.name for world in NULLS])
def test_what_is_no_better_is_seldom_promoted(name, method):
    """100 runs of 1,200 decisions with 12 looks, seed 23: at most 13 promotions, `allowed(100, 0.05)`.

    A gate that errs in exactly 5% has more with a probability below 1e-3 in each of ten cases; ours err in about 1%.
    """
    assert allowed(100, ALPHA) == 13
    assert last(name, 0.0, method=method, runs=100, days=12, per_day=100).gate <= allowed(100, ALPHA)


def test_a_better_candidate_is_promoted_and_a_normal_interval_peeks():
    """A lift of 0.2 is found in nearly every run; without one, the normal interval promotes above its error.

    Of 100 runs at 5%, more than 13 have a probability of 6e-4.
    """
    assert last("fixed", 0.2, runs=50, days=12, per_day=100).gate >= 45
    assert last("adaptive", 0.0, runs=100, days=12, per_day=100).normal > allowed(100, ALPHA)


@pytest.mark.deep
@pytest.mark.parametrize("name", [world.name for world in NULLS])
def test_false_promotions_over_a_thousand_runs(name):
    """1,000 runs of 5,000 decisions with 20 daily looks, seed 23: at most α of them, 50, are ever promoted.

    A gate that errs in exactly α would fail this half of the time, and one that errs in 2.5%, which is more than ours
    did in any world, with a probability below 1e-5.
    """
    assert binom.sf(50, 1000, 0.025) < 1e-5
    assert last(name, 0.0, runs=1000, days=20, per_day=250).gate <= ALPHA * 1000


@pytest.mark.deep
def test_a_normal_interval_promotes_many_over_a_thousand_runs():
    """The contrast: the same looks at a normal bound promote more than 73 of 1,000.

    At 5% that has a probability below 1e-3.
    """
    assert allowed(1000, ALPHA) == 73
    assert last("fixed", 0.0, runs=1000, days=20, per_day=250).normal > allowed(1000, ALPHA)


@pytest.mark.parametrize("world", NULLS, ids=lambda world: world.name)
def test_the_worlds_have_no_lift(world):
    """Over 200 logs of 500 decisions the mean of (w - 1) r and that of w - 1 are 0, within 4 standard errors: 6e-5."""
    w, r = world.draw(np.random.default_rng(2), 200, 500)
    for values in ((w - 1) * r, w - 1):
        by_log = values.mean(axis=1)
        assert abs(by_log.mean()) < 4 * by_log.std(ddof=1) / np.sqrt(200)


def test_a_lift_is_what_it_says():
    """The world with a lift of 0.1 has one, within 4 standard errors of 1e5 decisions."""
    w, r = lifted(0.1).draw(np.random.default_rng(2), 1, 100_000)
    values = (w - 1) * r
    assert values.mean() == pytest.approx(0.1, abs=4 * values.std() / np.sqrt(100_000))


def test_the_experiment_prints(monkeypatch):
    """Table, JSON and CSV of the same rows."""
    app = typer.Typer()
    app.command()(peeking.main)
    options = ["--runs", "25", "--days", "2", "--per-day", "50", "--no-lifts"]
    monkeypatch.setattr(peeking, "NULLS", NULLS[:1])
    found = list(peeking.measured(NULLS[0], Plan(2, 50, ALPHA, "betting"), runs=25, seed=0))
    monkeypatch.setattr(peeking, "measured", lambda *_, **__: found)
    told = [CliRunner().invoke(app, [*options, "--format", kind]) for kind in ("json", "csv", "table")]
    assert [one.exit_code for one in told] == [0, 0, 0]
    rows = json.loads(told[0].stdout)
    assert [row["decisions"] for row in rows] == [50, 100]
    header, *lines = csv.reader(told[1].stdout.splitlines())
    assert [dict(zip(header, line, strict=True)) for line in lines] == [
        {name: f"{value}" for name, value in row.items()} for row in rows
    ]
    assert "fixed" in told[2].stdout
