"""`--interval` reaches every method, of what it bounds, from sums or from rows; the rest is refused in words."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope import ordered
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.intervals import cressie_read
from ope.intervals.betting import sharp_lower
from ope.intervals.confidence import Confidence, Side
from ope.intervals.cressie_read import WeightSums
from ope.intervals.empirical_bernstein import Bounded
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, difference_outcomes, dr_outcomes, ips_outcomes
from ope.intervals.table import METHODS
from ope.intervals.two_sided import TwoSided
from ope.question import Question

N = 3_000
RNG = np.random.default_rng(31)
MOST = 6.0
W = np.minimum(RNG.exponential(1.0, N), MOST)
P = RNG.uniform(0.05, 1 / MOST, N)
SHARE = {name: RNG.random(N) for name in ("reward", "q_logged", "q_target")}
FRAME = pl.DataFrame({"propensity": P, "target_propensity": W * P, **{n: 2 + 4 * v for n, v in SHARE.items()}})
RANGE = (2.0, 6.0)
R, Q, D = SHARE.values()
W = (FRAME["target_propensity"] / FRAME["propensity"]).to_numpy()
DECLARED = {"reward_range": RANGE, "largest_weight": 9.0, "past_predictions": True}
EACH = pytest.mark.parametrize("name", METHODS)


def judged(frame=FRAME, **asked):
    """Return the evaluation."""
    (evaluation,) = evaluate_frame(frame, Question(**asked)).values()
    return evaluation


def intervals(frame=FRAME, **asked):
    """Return each estimator's interval."""
    return {one.estimator: one.interval for one in judged(frame, **asked).estimates}


def close(bounds):
    """Rewards go to the range's units and back, which rounds."""
    return pytest.approx(bounds, abs=1e-8)


def timed(frame=FRAME):
    """The log with a time a second."""
    return frame.with_columns(at=pl.int_range(pl.len()))


def test_cressie_read_is_from_the_sums() -> None:
    """In the range's units it is the interval of the rows' sums, of IPS and SNIPS alike."""
    found = intervals(interval="cressie_read", level=0.9, **DECLARED)
    sums = WeightSums.of(W, R)
    low, high = cressie_read.lower(sums, 0.05, most=9), 1 - cressie_read.lower(sums.turned(), 0.05, most=9)
    assert found["ips"] == found["snips"] == close((2 + 4 * low, 2 + 4 * high))
    assert all(math.isnan(bound) for bound in found["dr"])


@pytest.mark.parametrize("cut", [3.0, 9.0])
def test_empirical_bernstein_cuts_weights(cut) -> None:
    """With weights above the declared one it is that of clipped values, in the span up to it, and says so."""
    found = judged(interval="empirical_bernstein", estimators=["ips"], **DECLARED | {"largest_weight": cut})
    state = TwoSided(Bounded(cut), Bounded(cut)).fold(ips_outcomes(np.minimum(W, cut), R))
    assert found.estimates[0].interval == close(state.bounds(Claim(*RANGE), Confidence(0.95)))
    assert found.notes == (
        ("ips: weights above 3 are cut in its bounds, which keeps them true: --largest-weight is below some",)
        if cut == 3
        else ()
    )


@pytest.mark.parametrize("estimator", ["ips", "dr"])
def test_sequences_are_those_of_their_outcomes(estimator, monkeypatch) -> None:
    """The mixture and betting bounds are those over all rows, in however small parts they are read."""
    outcomes = ips_outcomes(W, R) if estimator == "ips" else dr_outcomes(W, R, Q, D, most=9)
    claim = Claim(*RANGE, k=0.0 if estimator == "ips" else 9.0)
    asked = {"estimators": [estimator], **DECLARED}
    expected = TwoSided(Mixture(), Mixture()).fold(outcomes).bounds(claim, Confidence(0.95))
    sharp = [sharp_lower(lambda one=one: [one], 0.025) for one in (outcomes.above, outcomes.below)]
    for rows in (100_000, 700):
        monkeypatch.setattr(ordered, "AT_ONCE", rows)
        for frame in (FRAME, FRAME.lazy()):
            assert intervals(frame, interval="eb_mixture", **asked)[estimator] == close(expected)
            betting = claim.lower(sharp[0]), claim.upper(sharp[1])
            assert intervals(frame, interval="betting", **asked)[estimator] == pytest.approx(betting, abs=1e-4)


def test_predictions_outside_the_range_are_cut() -> None:
    """A model may say less or more than a reward can be; the bounds of dr are those with its ends, and hold."""
    asked = {"interval": "eb_mixture", "estimators": ["dr"], **DECLARED}
    wild = FRAME.with_columns(q_logged=pl.col("q_logged") - 9, q_target=pl.col("q_target") + 9)
    ends = FRAME.with_columns(q_logged=pl.lit(2.0), q_target=pl.lit(6.0))
    assert intervals(wild, **asked) == intervals(ends, **asked)


def test_the_bootstrap_is_of_every_estimator_of_sums() -> None:
    """Each has an interval around its value, close to the normal one where weights are tame."""
    names = ["ips", "snips", "dm", "sndr", "beta_ips", "dros:mse"]
    normal = intervals(interval="normal", estimators=names)
    for one in judged(interval="bootstrap", estimators=names).estimates:
        assert one.interval[0] < one.value < one.interval[1]
        # 2,000 resamples know a quantile to 0.07 standard errors; 0.35 is five of them.
        assert one.interval == pytest.approx(normal[one.estimator], abs=0.35 * one.stderr)


def test_the_bootstrap_is_of_rankings_and_several_loggers_too() -> None:
    """What has a weight for each slot or logger is resampled as one."""
    lists = {f"{of}pscore_cascade": [[0.5, 0.25]] * N for of in ("", "target_")}
    rewards = np.round(RNG.random((N, 2))).tolist()
    ranked = FRAME.select("reward").with_columns(slot_rewards=pl.Series(rewards), pscore=0.25, target_pscore=0.25)
    ranked = ranked.with_columns(**{name: pl.Series(values) for name, values in lists.items()})
    for frame, asked in (
        (ranked, {"estimators": ["rips", "snrips"]}),
        (
            FRAME.with_columns(by=pl.int_range(pl.len()) % 2),
            {"estimators": ["weighted_ips"], "columns": Columns(logger="by")},
        ),
    ):
        normal = intervals(frame, **asked)
        for one in judged(frame, interval="bootstrap", **asked).estimates:
            assert one.interval == pytest.approx(normal[one.estimator], abs=0.35 * one.stderr)


def test_the_bootstrap_is_seeded_and_the_same_in_every_frame() -> None:
    """The same seed gives the same interval, in polars and pandas; another seed another one."""
    asked = {"interval": "bootstrap", "estimators": ["snips"]}
    first = intervals(**asked)["snips"]
    assert intervals(**asked)["snips"] == first
    assert intervals(pd.DataFrame(FRAME.to_dict(as_series=False)), **asked)["snips"] == pytest.approx(first, rel=1e-9)
    assert intervals(seed=1, **asked)["snips"] != first


@EACH
def test_files_in_parts_are_one_log(name, tmp_path) -> None:
    """Files, an empty one among them, give each interval of the log that they were cut from."""
    for i, part in enumerate((timed()[:1000], timed()[:0], timed()[1000:1001], timed()[1001:])):
        part.write_parquet(tmp_path / f"{i}.parquet")
    asked = {"interval": name, "estimators": ["ips"], **DECLARED}
    (evaluation,) = evaluate_files(sorted(tmp_path.iterdir()), Question(**asked)).values()
    assert evaluation.estimates[0].interval == pytest.approx(intervals(**asked)["ips"], abs=1e-6)
    assert evaluation.notes == ()


@EACH
def test_one_side_has_the_whole_error(name) -> None:
    """A one-sided bound at 90% is that side of the interval at 80%, and nothing on the other side."""
    asked = {"interval": name, "estimators": ["ips"], **DECLARED}
    low, high = intervals(level=0.8, **asked)["ips"]
    lower = intervals(level=0.9, side=Side.LOWER, **asked)["ips"]
    upper = intervals(level=0.9, side="upper", **asked)["ips"]
    assert lower == (pytest.approx(low, abs=1e-6), math.inf)
    assert upper == (-math.inf, pytest.approx(high, abs=1e-6))


@pytest.mark.parametrize("name", ["eb_mixture", "betting"])
def test_rows_are_read_in_decision_order_and_it_says_so(name, tmp_path) -> None:
    """By `at` where the log has it: shuffled, or in files of another order, it is the log as it was decided."""
    asked = {"interval": name, "estimators": ["ips"], **DECLARED}
    whole = judged(timed(), **asked)
    assert whole.notes == ()
    shuffled = judged(timed().sample(fraction=1, shuffle=True, seed=2), **asked)
    assert shuffled.estimates[0].interval == pytest.approx(whole.estimates[0].interval, abs=1e-12)
    assert intervals(FRAME.sample(fraction=1, shuffle=True, seed=2), **asked)["ips"] != whole.estimates[0].interval
    assert shuffled.notes == (f"{name} reads the rows sorted by at: they do not stand in its order",)
    untold = judged(**asked)
    assert untold.estimates == whole.estimates
    assert untold.notes == (f"{name} reads the rows as they stand: the log has no column at to order them by",)
    late, early = tmp_path / "late.csv", tmp_path / "early.ndjson"
    when = timed().with_columns(at=pl.from_epoch("at", time_unit="s").dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
    when[2000:].write_csv(late)
    when[:2000].write_ndjson(early)
    (files,) = evaluate_files([late, early], Question(**asked)).values()
    assert files.estimates[0].interval == pytest.approx(whole.estimates[0].interval, abs=1e-9)
    assert files.notes == shuffled.notes


def test_a_log_without_times_in_one_file_says_which(tmp_path) -> None:
    """Rows are then read as they stand, which a note says."""
    timed()[:10].write_csv(tmp_path / "a.csv")
    FRAME[10:].write_csv(tmp_path / "b.csv")
    asked = Question(interval="eb_mixture", estimators=["ips"], **DECLARED)
    (found,) = evaluate_files([tmp_path / "a.csv", tmp_path / "b.csv"], asked).values()
    assert found.notes == (
        f"eb_mixture reads the rows as they stand: {tmp_path / 'b.csv'} has no column at to order them by",
    )


OTHER = FRAME.with_columns(theirs=pl.col("propensity") * np.minimum(RNG.exponential(1.0, N), MOST))


@pytest.mark.parametrize("frame", [OTHER, timed(OTHER).sample(fraction=1, shuffle=True, seed=2)])
def test_the_difference_of_two_policies_is_bounded_at_every_look(frame) -> None:
    """By ips, it is that of the difference of weights, whatever the rows' order; against the logger it is the lift."""
    v = (OTHER["theirs"] / OTHER["propensity"]).to_numpy()
    asked = {"interval": "eb_mixture", "estimators": ["ips", "dr"], **DECLARED}
    claim = Claim(*RANGE, k=1.0, lift=True)
    for against, other in (("theirs", v), ("logged", np.ones(N))):
        found = judged(frame, against=against, columns=Columns(q_against="q_target"), **asked)
        ips, dr = found.against.estimates
        state = TwoSided(Mixture(), Mixture()).fold(difference_outcomes(W, other, R))
        assert ips.interval == close(state.bounds(claim, Confidence(0.95)))
        assert all(math.isnan(bound) for bound in dr.interval)
        assert found.notes[-1] == (f"less {against}: eb_mixture bounds the difference by ips; without an interval: dr")


def test_differences_for_one_look() -> None:
    """The bootstrap has them as the normal interval has; cressie_read and empirical_bernstein say that they do not."""
    asked = {"estimators": ["ips", "snips"], "against": "logged"}
    normal = judged(OTHER, **asked).against.estimates
    for one, plain in zip(judged(OTHER, interval="bootstrap", **asked).against.estimates, normal, strict=True):
        assert one.interval == pytest.approx(plain.interval, abs=0.35 * one.stderr)
    found = judged(OTHER, interval="cressie_read", **asked | DECLARED)
    assert all(math.isnan(bound) for one in found.against.estimates for bound in one.interval)
    assert found.notes == ("less logged: cressie_read bounds no differences; without an interval: ips, snips",)


def test_what_is_not_bounded_is_said() -> None:
    """By default null with a note; refused when nothing that was asked for is bounded."""
    found = judged(interval="betting", reward_range=RANGE)
    assert found.notes[0].startswith(
        "betting bounds ips, dr with --largest-weight and --past-predictions; without an interval: snips, dm, dr,"
    )
    assert {one.method for one in found.estimates} == {"betting"}
    for asked, says in (
        ({"interval": "cressie_read", "estimators": ["dm"]}, r"bounds ips, snips; without an interval: dm\.$"),
        ({"interval": "empirical_bernstein"}, "bounds ips with --largest-weight; without an interval: ips, snips, .*;"),
        ({"interval": "bootstrap", "estimators": ["replay"]}, "bootstrap bounds what is made of sums; without"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            judged(reward_range=RANGE, **asked)


def test_dr_at_every_look_needs_predictions_of_the_past() -> None:
    """Without the declaration it has no interval, and the reason is said; nothing else may stand in for it."""
    asked = {"interval": "eb_mixture", "reward_range": RANGE, "largest_weight": 9.0}
    why = (
        "--past-predictions declares that each prediction was made by a model that had learned from earlier rows alone"
    )
    found = judged(**asked)
    assert why in found.notes[0]
    assert all(math.isnan(bound) for bound in intervals(**asked)["dr"])
    assert "--largest-weight declares" not in found.notes[0]
    with pytest.raises(InvalidRequest, match=why):
        judged(estimators=["dr"], **asked)
    assert all(math.isfinite(bound) for bound in intervals(past_predictions=True, **asked)["dr"])


@pytest.mark.parametrize("name", [method.name for method in METHODS.values() if method.ranged])
def test_the_range_must_be_declared(name) -> None:
    """Without one the question is refused."""
    with pytest.raises(InvalidRequest, match=f"--interval {name} needs --reward-range LO,HI"):
        judged(interval=name, largest_weight=9, estimators=["ips"])


@EACH
def test_a_declared_range_is_held_to(name, monkeypatch, tmp_path) -> None:
    """A reward outside is named with its row, however far down; counted and listed where bad rows are reported."""
    asked = {"interval": name, "estimators": ["ips"], **DECLARED}
    monkeypatch.setattr(ordered, "AT_ONCE", 700)
    far = FRAME.with_columns(reward=pl.when(pl.int_range(pl.len()).is_in([2500, 2800])).then(6.5).otherwise("reward"))
    path = tmp_path / "log.ndjson"
    far.write_ndjson(path)
    says = r"row 2,501: reward is .?6\.5.?; --reward-range says .* between 2 and 6\..* \(2 rows break a rule\.\)"
    for read in (lambda: judged(far, **asked), lambda: evaluate_files([path], Question(**asked))):
        with pytest.raises(InvalidLog, match=says):
            read()
    reported = judged(far, on_bad_rows="report", **asked)
    assert (reported.n, reported.bad_rows.broken) == (N - 2, 2)
    assert reported.bad_rows.shown[0].row == 2501
    kept = far.filter(pl.col("reward") <= 6)
    assert reported.estimates[0].interval == pytest.approx(intervals(kept, **asked)["ips"], abs=1e-12)


@pytest.mark.parametrize(("name", "estimator"), [("cressie_read", "ips"), ("betting", "dr"), ("eb_mixture", "dr")])
def test_the_largest_weight_is_held_to(name, estimator) -> None:
    """A weight above the declared one is refused where the bound would be false; what rounding adds to it is not."""
    asked = {"interval": name, "estimators": [estimator], **DECLARED}
    with pytest.raises(
        InvalidRequest, match=r"--largest-weight is 2, and the log has a weight of 6: .* 1 over the sma"
    ):
        judged(**asked | {"largest_weight": 2.0})
    assert math.isfinite(intervals(**asked | {"largest_weight": W.max() * (1 - 1e-12)})[estimator][0])


def test_how_far_weights_go_and_how_large_they_can_be_are_two_things() -> None:
    """--max-weight clips the estimators that bound weights, and moves no interval of ips; --largest-weight does."""
    asked = {"interval": "cressie_read", "estimators": ["ips", "clipped_ips"], "reward_range": RANGE}
    plain, clipped = judged(**asked), judged(max_weight=2.0, **asked)
    assert plain.estimates[0] == clipped.estimates[0]
    declared = judged(max_weight=2.0, largest_weight=9.0, **asked)
    assert declared.estimates[1].value == clipped.estimates[1].value
    assert declared.estimates[0].interval != clipped.estimates[0].interval


@EACH
def test_bounds_that_contradict_each_other_are_none_and_say_why(name) -> None:
    """With mean weights far from 1 no value explains both sides; what is left crosses, and is null with a note."""
    wrong = FRAME.with_columns(target_propensity=pl.col("propensity") * 3)
    found = judged(wrong, interval=name, estimators=["ips"], **DECLARED)
    low, high = found.estimates[0].interval
    if METHODS[name].exact:
        assert math.isnan(low)
        assert math.isnan(high)
        assert found.notes[-1].startswith("ips: its lower bound of ")
        assert "so neither is given: the log contradicts what they presume. The mean weight is 3," in found.notes[-1]
    else:
        assert low <= high


@pytest.mark.parametrize("name", ["bootstrap", "cressie_read", "empirical_bernstein", "eb_mixture", "betting"])
def test_rows_that_stand_for_several_are_refused(name) -> None:
    """Only the sums honour row weights: every other interval says so, and the way out."""
    several = FRAME.with_columns(row_weight=pl.lit(2.0))
    with pytest.raises(InvalidRequest, match=rf"{name} .* these rows stand for several.* each\. Judge by .*normal"):
        judged(several, interval=name, estimators=["ips"], **DECLARED)
    assert judged(several, estimators=["ips"]).n == N


@pytest.mark.parametrize("name", [method.name for method in METHODS.values() if method.exact])
def test_weights_that_are_counted_are_not_known(name) -> None:
    """With --embedding weights are made of the whole log, which voids a bound that is no approximation."""
    with pytest.raises(InvalidRequest, match=f"--interval {name} takes each weight as known"):
        judged(interval=name, policies=["uniform"], columns=Columns(embedding="kind"), **DECLARED)


def test_an_engine_without_an_order_is_refused() -> None:
    """What goes through rows is not answered where rows have no order; the error says what does."""
    engine = SimpleNamespace(is_polars=lambda: False, __str__=lambda: "duckdb")
    rows = SimpleNamespace(frame=SimpleNamespace(implementation=engine), source=SimpleNamespace(name="relation"))
    with pytest.raises(InvalidRequest, match=r"betting goes through the decisions .* keeps rows in no order"):
        next(ordered.in_order([rows], ordered.weighed_rewards(), what="betting"))


def test_the_command_says_it_in_json(tmp_path) -> None:
    """The method's name stands in the JSON, and an open side is null; the shape is that of every interval."""
    FRAME.write_csv(tmp_path / "log.csv")
    words = ["evaluate", str(tmp_path / "log.csv"), "--estimators", "ips", "--reward-range", "2,6", "--format", "json"]
    more = ["--interval", "bootstrap", "--side", "lower", "--seed", "3"]
    (one,) = json.loads(CliRunner().invoke(app, [*words, *more]).stdout)["estimates"]
    assert list(one) == ["estimator", "value", "stderr", "interval", "level", "method"]
    assert one["method"] == "bootstrap"
    assert one["interval"][0] < one["value"]
    assert one["interval"][1] is None
    expected = intervals(interval="bootstrap", side="lower", seed=3, estimators=["ips"])["ips"][0]
    assert one["interval"][0] == pytest.approx(expected, rel=1e-12)
    more = ["--interval", "betting", "--estimators", "dr", "--largest-weight", "9", "--past-predictions"]
    (one,) = json.loads(CliRunner().invoke(app, [*words, *more]).stdout)["estimates"]
    assert one["interval"][0] < one["value"] < one["interval"][1]
    for bad in (["--side", "left"], ["--largest-weight", "0.5"], ["--seed", "-1"]):
        assert CliRunner().invoke(app, [*words, *bad]).exit_code == 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"side": "left"}, "--side is 'left'; it is both, lower, upper"),
        ({"seed": -1}, "--seed is -1; it is a whole number of at least 0"),
        ({"largest_weight": 0.9}, r"--largest-weight is 0\.9; weights have a mean of 1"),
        ({"largest_weight": math.nan}, "--largest-weight is nan"),
        ({"largest_weight": math.inf}, "--largest-weight is inf"),
    ],
)
def test_what_cannot_be_declared_is_refused(asked, says) -> None:
    """The error names the value, the rule and the way out."""
    with pytest.raises(InvalidRequest, match=says):
        judged(**asked)


def test_a_torn_file_is_named_when_its_order_is_read(tmp_path) -> None:
    """What polars says of it is told with the file's name, as for every other pass."""
    path = tmp_path / "log.parquet"
    timed().write_parquet(path, compression="uncompressed")
    whole = path.read_bytes()
    path.write_bytes(b"\0" * (len(whole) // 2) + whole[len(whole) // 2 :])
    with pytest.raises(InvalidLog, match=r"log\.parquet: "):
        evaluate_files([path], Question(interval="betting", reward_range=RANGE))
