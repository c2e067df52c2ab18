"""What holds for every log, over all estimators."""

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ope.estimators.table import ESTIMATORS
from ope.evaluate import evaluate_frame
from ope.formats.source import Source
from ope.frames import Columns, rows_from_columns
from ope.tally import tally

ROW = st.tuples(
    st.floats(-10, 10),  # reward
    st.floats(0.05, 1),  # propensity
    st.floats(0, 1),  # target_propensity
    st.floats(-10, 10),  # q_logged
    st.floats(-10, 10),  # q_target
)
NAMES = ["reward", "propensity", "target_propensity", "q_logged", "q_target"]
LOGS = st.lists(ROW, min_size=2, max_size=40).map(lambda rows: pl.DataFrame(rows, schema=NAMES, orient="row"))
PROPERTY = settings(max_examples=60)
SCALE = 1e-10  # of numbers that are at most 20 weights times 20 rewards


def played(log):
    """Give the log at least one row with a weight that a ratio can be taken of."""
    return log.with_columns(target_propensity=pl.max_horizontal("target_propensity", 0.1))


def values(log):
    """Return every estimator's value."""
    (evaluation,) = evaluate_frame(log).values()
    return {estimate.estimator: estimate.value for estimate in evaluation.estimates}


def stderrs(log):
    """Return every estimator's standard error."""
    (evaluation,) = evaluate_frame(log).values()
    return {estimate.estimator: estimate.stderr for estimate in evaluation.estimates}


def sums(log):
    """Return the sums of one pass over the log."""
    frame = nw.from_native(log.lazy())
    return tally(rows_from_columns(Source("log", frame, frame), Columns(), predicted=True)).sums


@PROPERTY
@given(LOGS, st.floats(-10, 10))
def test_constant_reward_is_recovered(log, constant):
    """A reward that never varies is SNIPS's answer, and DR's when the model knows it."""
    known = played(log).with_columns(reward=constant, q_logged=constant, q_target=constant)
    found = values(known)
    for name in ("snips", "dr", "dm"):
        assert found[name] == pytest.approx(constant, abs=SCALE)


@PROPERTY
@given(LOGS, st.integers(1, 39))
def test_merge_equals_whole(log, cut):
    """The sums of two parts, added, give every estimate and error of the whole log."""
    log, cut = played(log), min(cut, log.height - 1)
    whole, merged = sums(log), sums(log[:cut]) + sums(log[cut:])
    for estimator in ESTIMATORS.values():
        a, b = estimator.of(whole), estimator.of(merged)
        assert a.value == pytest.approx(b.value, rel=SCALE, abs=SCALE)
        assert a.stderr(whole) == pytest.approx(b.stderr(merged), rel=1e-7, abs=1e-7)


@PROPERTY
@given(LOGS, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(log, random):
    """Shuffling the rows changes no estimate."""
    log = played(log)
    order = list(range(log.height))
    random.shuffle(order)
    before, after = values(log), values(log[order])
    assert before == pytest.approx(after, rel=SCALE, abs=SCALE)


@PROPERTY
@given(LOGS)
def test_flip_invariance(log):
    """Coding the reward as 1 − r turns SNIPS, DM and DR into 1 minus themselves."""
    log = played(log)
    flipped = log.with_columns(-pl.col("reward", "q_logged", "q_target") + 1)
    before, after = values(log), values(flipped)
    for name in ("snips", "dm", "dr"):
        assert after[name] == pytest.approx(1 - before[name], rel=SCALE, abs=SCALE)
    assert stderrs(flipped)["snips"] == pytest.approx(stderrs(log)["snips"], rel=1e-6, abs=1e-7)


def test_ips_is_not_flip_invariant():
    """IPS is off by mean weight − 1 under 1 − r: the reason to look at the mean weight."""
    log = pl.DataFrame({"reward": [1.0, 0.0], "propensity": [0.5, 0.5], "target_propensity": [0.75, 0.5]})
    flipped = log.with_columns(reward=1 - pl.col("reward"))
    assert 1 - values(flipped)["ips"] == pytest.approx(0.5)
    assert values(log)["ips"] == pytest.approx(0.75)


@PROPERTY
@given(LOGS)
def test_more_data_narrows_the_interval(log):
    """Four times the same evidence halves every error, up to n/(n−1)."""
    log = played(log)
    once, often = stderrs(log), stderrs(pl.concat([log] * 4))
    for name, stderr in once.items():
        assert often[name] <= stderr / 2 * (1 + 1e-6) + 1e-7


@PROPERTY
@given(LOGS, st.floats(-1e6, 1e6))
def test_pivot_changes_nothing(log, pivot):
    """Counting rewards from elsewhere leaves values alone; it only costs digits."""
    whole = sums(played(log))
    moved = whole.from_pivot(pivot)
    for estimator in ESTIMATORS.values():
        assert estimator.of(moved).value == pytest.approx(estimator.of(whole).value, abs=1e-6)


def test_an_offset_keeps_its_errors():
    """A reward of a billion plus noise has the error of the noise; plain sums of squares have none."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=5_000)
    log = pl.DataFrame({"reward": noise, "propensity": 0.5, "target_propensity": 0.5, "q_target": noise})
    offset = log.with_columns(pl.col("reward", "q_target") + 1e9)
    for name, stderr in stderrs(log).items():
        assert stderrs(offset)[name] == pytest.approx(stderr, rel=1e-6)


def test_merging_logs_with_different_offsets():
    """Two parts whose rewards lie far apart merge to what one pass over both gives."""
    rng = np.random.default_rng(4)
    near, far = (
        pl.DataFrame({"reward": rng.normal(at, 1, 500), "propensity": 0.5, "target_propensity": rng.random(500)})
        for at in (0, 1e6)
    )
    merged, whole = sums(near) + sums(far), sums(pl.concat([near, far]))
    for name in ("ips", "snips"):
        a, b = ESTIMATORS[name].of(merged), ESTIMATORS[name].of(whole)
        assert a.value == pytest.approx(b.value, rel=1e-12)
        assert a.stderr(merged) == pytest.approx(b.stderr(whole), rel=1e-9)
