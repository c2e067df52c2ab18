"""Every interval keeps its promise in simulated worlds; the full table is that of `simulator.experiments.coverage`."""

import json
from functools import cache

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ope.intervals.confidence import Side
from simulator.experiments import coverage
from simulator.experiments.coverage import Plan, batch, summed
from simulator.experiments.coverage_worlds import WORLDS

NAMES = [world.name for world in WORLDS]
FIXED = ("normal", "cressie_read", "bootstrap")
SURE = ("empirical_bernstein", "eb_mixture", "betting")


@cache
def found(name, intervals, *, batches, rounds, looks, side=Side.BOTH):
    """Return how the intervals did in a world, at level 0.9, over 25 logs for each batch."""
    plan = Plan(intervals, rounds, looks, 0.9, side)
    world = next(one for one in WORLDS if one.name == name)
    bounds = np.concatenate([batch(name, plan, (17, i)) for i in range(batches)])
    return list(summed(world, plan, bounds))


def allowed(share, logs):
    """Four binomial standard errors above a share."""
    return share + 4 * np.sqrt(share * (1 - share) / logs)


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_at_every_look_does(name) -> None:
    """In 100 logs of 400 rows with 8 looks, at most 10% ever miss, and four binomial errors: 22%.

    An interval that misses in exactly 10% fails with probability 1e-4, in any of the four worlds below 2e-3.
    """
    for row in found(name, SURE, batches=4, rounds=400, looks=8):
        if row.anytime:
            assert row.ever <= allowed(0.1, 100), row
        assert max(row.above, row.below) <= allowed(0.05, 100), row


@pytest.mark.parametrize("side", [Side.LOWER, Side.UPPER])
def test_one_side_holds_at_every_look(side) -> None:
    """In 100 logs of a policy that learns one bound ever misses in at most 10%, and four binomial errors: 22%.

    An interval that misses in exactly 10% fails with probability 1e-4. The other side is open and cannot miss.
    """
    for row in found("adaptive", SURE, batches=4, rounds=400, looks=8, side=side):
        missed, other = (row.above, row.below) if side is Side.LOWER else (row.below, row.above)
        assert (other, row.open) == (0, 0)
        assert missed <= allowed(0.1, 100), row
        if row.anytime:
            assert row.ever <= allowed(0.1, 100), row


def test_one_side_is_tighter_than_that_of_two() -> None:
    """The whole error on one side moves the bound towards the truth, in the mean over 50 logs, for every method."""
    both = found("iid", (*FIXED, *SURE), batches=2, rounds=200, looks=1)
    for side, name in ((Side.LOWER, "lower"), (Side.UPPER, "upper")):
        for row, two in zip(
            found("iid", (*FIXED, *SURE), batches=2, rounds=200, looks=1, side=side), both, strict=True
        ):
            assert abs(getattr(row, name) - row.truth) < abs(getattr(two, name) - row.truth), row


def test_they_are_no_empty_promises() -> None:
    """In plain logs of 400 rows the bounds say something: they are within 0.35 of the truth on both sides."""
    for row in found("iid", SURE, batches=4, rounds=400, looks=8):
        assert 0.35 > row.truth - row.lower > 0, row
        assert 0.35 > row.upper - row.truth > 0, row


@pytest.mark.parametrize("name", ["iid", "adaptive"])
def test_one_look_misses_as_often_as_said(name) -> None:
    """In 75 plain and adaptive logs of 400 rows each bound of an asymptotic interval misses in 5%, or up to 10 % more.

    Four binomial errors are 0.10: a false alarm in each of 14 bounds and two worlds below 1e-3, seeded.
    """
    for row in found(name, FIXED, batches=3, rounds=400, looks=1):
        assert max(row.above, row.below) <= allowed(0.05, 75), row


def test_looking_often_breaks_what_is_for_one_look() -> None:
    """The 90% normal interval of IPS misses at some of 20 looks in far more than 10% of 100 plain logs (seeded)."""
    row = found("iid", ("normal",), batches=4, rounds=400, looks=20)[0]
    assert (row.method, row.estimator, row.anytime) == ("normal", "ips", False)
    assert row.ever > 0.3


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_what_holds_at_every_look_does_closely(name) -> None:
    """The same over 1,000 logs of 1,000 rows: at most 13.8% ever miss, and 7.8% on a side."""
    for row in found(name, SURE, batches=40, rounds=1000, looks=10):
        if row.anytime:
            assert row.ever <= allowed(0.1, 1000), row
        assert max(row.above, row.below) <= allowed(0.05, 1000), row


@pytest.mark.deep
@pytest.mark.parametrize("name", ["iid", "adaptive"])
def test_one_look_misses_as_often_as_said_closely(name) -> None:
    """Over 1,000 logs of 1,000 rows each bound misses in 5%, give or take 0.028 and 0.01 for what is asymptotic."""
    for row in found(name, FIXED, batches=40, rounds=1000, looks=1):
        assert max(row.above, row.below) <= allowed(0.05, 1000) + 0.01, row
        assert min(row.above, row.below) >= 0.05 - 0.028 - 0.01, row


@pytest.mark.parametrize("name", NAMES)
def test_a_worlds_truth_is_what_its_target_earns(name) -> None:
    """The mean of w r over 2,000 logs of 100 rows is the truth that bounds are held against, to four errors."""
    world = next(one for one in WORLDS if one.name == name)
    rows = world.draw(np.random.default_rng(3), 2000, 100)
    means = (rows.w * rows.r).mean(axis=1)
    assert abs(means.mean() - world.truth) < 4 * means.std() / np.sqrt(2000)
    assert rows.w.max() <= world.most
    assert abs(rows.w.mean() - 1) < 4 * rows.w.mean(axis=1).std() / np.sqrt(2000)


def test_the_experiment_prints_both_ways() -> None:
    """As a table, and as JSON with a row for each interval of each estimator in each world that was asked for."""
    cli = typer.Typer()
    cli.command()(coverage.main)
    words = ["--logs", "25", "--rounds", "40", "--looks", "2", "--world", "iid", "--interval", "normal"]
    rows = json.loads(CliRunner().invoke(cli, [*words, "--format", "json"]).stdout)
    assert [(row["world"], row["method"], row["estimator"]) for row in rows] == [
        ("iid", "normal", "ips"),
        ("iid", "normal", "snips"),
        ("iid", "normal", "dr"),
    ]
    table = CliRunner().invoke(cli, words).stdout
    assert all(word in table for word in ("iid", "normal", "snips", "90% intervals"))
