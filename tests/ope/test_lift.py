"""The lift over the logging policy from canonical rows: in decision order, held to its range, valid at every look."""

import math
from datetime import UTC, datetime, timedelta

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from ope import ordered
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import _evaluate
from ope.formats.source import Source
from ope.intervals.betting import Betting
from ope.intervals.confidence import Confidence
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, lift_outcomes
from ope.intervals.two_sided import TwoSided
from ope.question import Question
from ope.request import Request
from simulator.experiments.coverage_worlds import WORLDS

N = 900


def lift_bounds(frames, within=(0, 1), method="betting", side="both"):
    """Return the bounds of the lift by IPS over the logging policy, of frames that are files of one log; level 0.9."""
    sources = [Source("log", nw.from_native(frame), nw.from_native(frame)) for frame in frames]
    asked = Question(estimators=["ips"], against="logged", interval=method, reward_range=within, level=0.9, side=side)
    (found,) = _evaluate(sources, Request.of(asked)).values()
    return found.against.estimates[0].interval


def drawn(seed, n=N, lift=0.2):
    """A log of a coin over two actions, of which the target plays the one that is better by `lift`/0.8."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.5
    reward = (rng.random(n) < np.where(first, 0.4 + lift / 0.8, 0.4)).astype(float)
    target = np.where(first, 0.9, 0.1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    at = [start + timedelta(seconds=i // 2) for i in range(n)]
    return pl.DataFrame({"reward": reward, "propensity": 0.5, "target_propensity": target, "at": at})


LOG = drawn(1)


@pytest.mark.parametrize(("method", "start"), [("betting", Betting()), ("eb_mixture", Mixture())])
def test_it_is_the_fold_over_lifts(method, start) -> None:
    """In the units of the range, whatever they are; betting within the spacing of its nodes."""
    w = (LOG["target_propensity"] / LOG["propensity"]).to_numpy()
    outcomes, claim = lift_outcomes(w, LOG["reward"].to_numpy()), Claim(2.0, 6.0, k=1.0, lift=True)
    expected = TwoSided(start, start).fold(outcomes).bounds(claim, Confidence(0.9))
    moved = LOG.with_columns(reward=2 + 4 * pl.col("reward"))
    found = lift_bounds([moved], (2, 6), method)
    assert found == pytest.approx(expected, abs=1e-9 if method == "eb_mixture" else 0.03)
    assert found[0] > 0


def test_files_and_parts_are_one_log(monkeypatch) -> None:
    """Cut into sources and read in parts, lazily or not, the bounds are those of the whole."""
    whole = lift_bounds([LOG])
    monkeypatch.setattr(ordered, "AT_ONCE", 70)
    cut = [LOG[:500].lazy(), LOG[500:500], LOG[500:]]
    assert lift_bounds(cut) == pytest.approx(whole, abs=1e-12)


def test_rows_are_put_in_the_order_of_their_times() -> None:
    """Shuffled, in files of the wrong order, and with times as text, the bounds are those of the sorted log."""
    distinct = LOG.with_columns(at=LOG["at"][0] + pl.duration(seconds=pl.int_range(pl.len())))
    whole = lift_bounds([distinct], method="eb_mixture")
    shuffled = distinct.sample(fraction=1, shuffle=True, seed=4)
    text = distinct.with_columns(at=pl.col("at").dt.to_string("iso:strict"))
    for logs in ([shuffled], [distinct[450:], distinct[:450].lazy()], [text[450:], text[:450]]):
        assert lift_bounds(logs, method="eb_mixture") == whole
    assert lift_bounds([shuffled.drop("at")], method="eb_mixture") != whole


def test_rows_of_the_same_time_keep_their_order() -> None:
    """Of two rows a second, the first stays the first when the seconds are sorted."""
    whole = lift_bounds([LOG], method="eb_mixture")
    assert lift_bounds([LOG[400:], LOG[:400]], method="eb_mixture") == whole


def test_what_it_cannot_bound_is_said() -> None:
    """A reward out of range and a row without a time are named with their row."""
    far = LOG.with_columns(reward=pl.when(pl.int_range(pl.len()) == 250).then(1.5).otherwise("reward"))
    with pytest.raises(InvalidLog, match=r"log: row 251: reward is 1\.5; --reward-range says .* between 0 and 1\."):
        lift_bounds([far])
    for at, shown in ((None, "None"), ("soon", "'soon'")):
        times = ["2026-01-31", at, "2026-02-01"]
        with pytest.raises(InvalidLog, match=rf"log: row 2: at is {shown}; a decision's time is"):
            lift_bounds([LOG[:3].with_columns(at=pl.Series(times))])
    with pytest.raises(InvalidLog, match="at holds Boolean, and no times"):
        lift_bounds([LOG[:3].with_columns(at=pl.lit(value=True))])
    with pytest.raises(InvalidRequest, match="these rows stand for several decisions each"):
        lift_bounds([LOG.with_columns(row_weight=2.0)])


def test_bounds_that_contradict_each_other_are_none() -> None:
    """With weights of 10 in every row no lift explains both sides: NaN, and no lower bound that a gate would take."""
    wrong = LOG.with_columns(target_propensity=1.0, propensity=0.1)
    for method in ("betting", "eb_mixture"):
        assert all(math.isnan(bound) for bound in lift_bounds([wrong], method=method))


@pytest.mark.parametrize("name", ["iid", "adaptive"])
def test_no_lift_is_found_where_there_is_none(name) -> None:
    """A target that is the logging policy with its actions' rewards alike has no lift: one-sided, at any of six looks.

    In 60 logs of 300 rows with shuffled rewards at most 10% ever find one, and four binomial errors, 25%: a valid bound
    fails with a probability below 1e-3, seeded.
    """
    world = next(one for one in WORLDS if one.name == name)
    rng = np.random.default_rng(11)
    log = world.draw(rng, 60, 300)
    found = 0
    for i in range(60):
        w, r = log.log(i).w, rng.permuted(log.log(i).r)
        frame = pl.DataFrame({"reward": r, "propensity": 1 / (1 + w), "target_propensity": w / (1 + w)})
        looks = [lift_bounds([frame[:n]], method="eb_mixture", side="lower") for n in range(50, 301, 50)]
        assert all(high == math.inf for _, high in looks)
        found += any(low > 0 for low, _ in looks)
    assert found / 60 <= 0.1 + 4 * math.sqrt(0.1 * 0.9 / 60)
