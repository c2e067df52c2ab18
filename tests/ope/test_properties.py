"""What holds for every log, over all estimators."""

import math

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ope.estimators.asked import wanted
from ope.estimators.table import ESTIMATORS
from ope.evaluate import evaluate_frame
from ope.formats.source import Source
from ope.frames import Columns, rows_from_columns
from ope.question import Question
from ope.tally import Plan, tally
from ope.weights import TRANSFORMS, Weight

ROW = st.tuples(
    st.floats(-10, 10),  # reward
    st.floats(0.05, 1),  # propensity
    st.floats(0, 1),  # target_propensity
    st.floats(-10, 10),  # q_logged
    st.floats(-10, 10),  # q_target
)
NAMES = ["reward", "propensity", "target_propensity", "q_logged", "q_target"]
LOGS = st.lists(ROW, min_size=2, max_size=40).map(lambda rows: pl.DataFrame(rows, schema=NAMES, orient="row"))
PARAMETERS = {"clipped": 2.0, "switch": 3.0, "os": 5.0, "sg": 0.3}
OF_ACTIONS = [one for one in ESTIMATORS.values() if not one.own]
EVERY = [f"{one.name}:{PARAMETERS[one.transform]}" if one.transform else one.name for one in OF_ACTIONS]
MEMBERS = {one.name: one.members[0] for one in wanted(EVERY).asked}
PROPERTY = settings(max_examples=60)
SCALE = 1e-10  # of numbers that are at most 20 weights times 20 rewards


def played(log):
    """Give the log at least one row with a weight that a ratio can be taken of."""
    return log.with_columns(target_propensity=pl.max_horizontal("target_propensity", 0.1))


def values(log):
    """Return every estimator's value."""
    (evaluation,) = evaluate_frame(log, Question(estimators=list(members(log)))).values()
    return {estimate.estimator: estimate.value for estimate in evaluation.estimates}


def stderrs(log):
    """Return every estimator's standard error."""
    (evaluation,) = evaluate_frame(log, Question(estimators=list(members(log)))).values()
    return {estimate.estimator: estimate.stderr for estimate in evaluation.estimates}


def sums(log):
    """Return the sums of one pass over the log, for every estimator that its columns allow."""
    return sums_of(log, members(log).values())


def sums_of(log, members):
    """Return the sums of one pass over the log, for these members."""
    frame = nw.from_native(log.lazy())
    rows = rows_from_columns(Source("log", frame, frame), Columns(), predicted=True)
    return tally(rows, Plan.of(member.terms for member in members)).sums


def members(log):
    """Return the estimators that the log's columns allow."""
    return {one.name: one.members[0] for one in wanted(EVERY).asked if one.needs <= set(log.columns)}


@PROPERTY
@given(LOGS, st.floats(-10, 10))
def test_constant_reward_is_recovered(log, constant):
    """A reward that never varies is SNIPS's answer, and DR's when the model knows it."""
    known = played(log).with_columns(reward=constant, q_logged=constant, q_target=constant)
    found = values(known)
    for name, value in found.items():
        if not weighs_the_constant(name, log):
            assert value == pytest.approx(constant, abs=SCALE), name


def weighs_the_constant(name, log):
    """Say whether an estimator's answer to a constant reward is off: IPS forms, and SN forms where no row counts."""
    w = played(log)["target_propensity"] / log["propensity"]
    nothing_left = name.startswith("switch_sn") and w.min() > PARAMETERS["switch"]
    return nothing_left or ("_ips" in f"_{name}" and name != "beta_ips")


@PROPERTY
@given(LOGS, st.integers(1, 39))
def test_merge_equals_whole(log, cut):
    """The sums of two parts, added, give every estimate and error of the whole log."""
    log, cut = played(log), min(cut, log.height - 1)
    whole, merged = sums(log), sums(log[:cut]) + sums(log[cut:])
    for estimator in MEMBERS.values():
        a, b = estimator.of(whole), estimator.of(merged)
        assert a.value == pytest.approx(b.value, rel=SCALE, abs=SCALE, nan_ok=True)
        assert a.stderr(whole) == pytest.approx(b.stderr(merged), rel=1e-6, abs=1e-5, nan_ok=True)


@PROPERTY
@given(LOGS, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(log, random):
    """Shuffling the rows changes no estimate."""
    log = played(log)
    order = list(range(log.height))
    random.shuffle(order)
    before, after = values(log), values(log[order])
    assert before == pytest.approx(after, rel=SCALE, abs=SCALE, nan_ok=True)


@PROPERTY
@given(LOGS)
def test_flip_invariance(log):
    """Coding the reward as 1 − r turns SN, DM, DR and β forms into 1 minus themselves, whatever is done to weights."""
    log = played(log)
    flipped = log.with_columns(-pl.col("reward", "q_logged", "q_target") + 1)
    before, after = values(log), values(flipped)
    for name, value in before.items():
        if "_ips" not in f"_{name}" or name == "beta_ips":
            assert after[name] == pytest.approx(1 - value, rel=1e-9, abs=1e-9, nan_ok=True), name
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
        assert not often[name] > stderr / 2 * (1 + 1e-6) + 1e-5, name  # the root of what rounding leaves


FADING = {"clipped": 1e9, "switch": 1e9, "os": 1e15, "sg": 1e-12}


@PROPERTY
@given(LOGS)
def test_transforms_fade(log):
    """As λ leaves more and more weight alone, each form comes to what it is with the plain weights."""
    for estimator in OF_ACTIONS:
        if estimator.transform:
            whole = sums_of(log, [estimator.at(FADING[estimator.transform]), estimator.up_to(math.inf)])
            tamed, plain = (
                member.of(whole).value
                for member in (estimator.at(FADING[estimator.transform]), estimator.up_to(math.inf))
            )
            assert tamed == pytest.approx(plain, rel=1e-7, abs=1e-7, nan_ok=True), estimator.name


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from([*TRANSFORMS.values()]), st.floats(1.5, 1e4))
def test_transforms_only_take_away(light, heavy, transform, most):
    """A tamed weight lies between the raw one and 0 (`sg`: and 1); none exceeds the largest that was asked for."""
    raw = pl.DataFrame({"w": [light, heavy]})
    weight = Weight("w", transform.name, transform.bound(most))
    tamed = nw.from_native(raw).select(weight.of(nw.col("w"))).to_native()["w"].to_numpy()
    given, neutral = np.array([light, heavy]), 1.0 if transform.name == "sg" else 0.0
    low, high = np.minimum(given, neutral), np.minimum(np.maximum(given, neutral), most)
    assert np.all((tamed >= low * (1 - 1e-9)) & (tamed <= high * (1 + 1e-9)))


def test_only_what_is_read_is_summed():
    """IPS alone costs two terms and three products, whatever else the table holds."""
    plan = Plan.of(block for one in wanted(["ips"]).asked for block in one.blocks)
    assert (len(plan.terms), len(plan.pairs)) == (2, 3)


def test_sums_of_other_terms_do_not_add():
    """Two states with other terms are no state of both logs."""
    log = pl.DataFrame({"reward": [1.0], "propensity": [0.5], "target_propensity": [0.5]})
    whole = sums_of(log, [wanted(["ips"]).asked[0].members[0]])
    with pytest.raises(ValueError, match="do not add up"):
        whole + sums_of(log, [wanted(["clipped_ips:2"]).asked[0].members[0]])


@PROPERTY
@given(LOGS, st.floats(-1e6, 1e6))
def test_pivot_changes_nothing(log, pivot):
    """Counting rewards from elsewhere leaves values alone; it only costs digits."""
    whole = sums(played(log))
    moved = whole.from_pivot(pivot)
    for estimator in MEMBERS.values():
        assert estimator.of(moved).value == pytest.approx(estimator.of(whole).value, abs=1e-6, nan_ok=True)


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
    for estimator in members(near).values():
        a, b = estimator.of(merged), estimator.of(whole)
        assert a.value == pytest.approx(b.value, rel=1e-12)
        assert a.stderr(merged) == pytest.approx(b.stderr(whole), rel=1e-9)
