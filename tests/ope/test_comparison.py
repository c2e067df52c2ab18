"""Two policies on the same rows: the difference of their weights, not of their intervals."""

import math

import numpy as np
import polars as pl
import pytest
from small_logs import ACTIONS, log

from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.table import ESTIMATORS
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question
from ope.report.exact_json import report_as_json

FOUR_ROWS = pl.DataFrame(
    {
        "reward": [1.0, 0.0, 1.0, 0.0],
        "propensity": [0.5, 0.5, 0.25, 1.0],
        "target_propensity": [1.0, 0.5, 0.5, 0.0],  # weights 2, 1, 2, 0
        "other": [0.5, 0.5, 0.25, 0.5],  # weights 1, 1, 1, 0.5
        "q_logged": [0.5, 0.5, 1.0, 0.0],
        "q_target": [0.5, 0.25, 0.75, 0.5],
        "q_other": [0.25, 0.25, 0.5, 0.5],
    }
)
OF_ACTIONS = [name for name, one in ESTIMATORS.items() if one.kind == "sums" and not (one.of_rankings or one.by_logger)]


def differences(frame, **options):
    """Return the single target's estimates less the other's, by name."""
    (evaluation,) = evaluate_frame(frame, Question(**options)).values()
    return {one.estimator: one for one in evaluation.against.estimates}


def of_columns(**options) -> dict:
    """Return the options for the columns of FOUR_ROWS."""
    return {"columns": Columns(q_against="q_other"), "against": "other", **options}


def test_ips_by_hand():
    """Rows (2 - 1)·1, 0, (2 - 1)·1, 0: mean 0.5, sample variance 1/3."""
    found = differences(FOUR_ROWS, **of_columns())["ips"]
    assert found.value == pytest.approx(0.5, rel=1e-15)
    assert found.stderr == pytest.approx(math.sqrt(1 / 3 / 4), rel=1e-14)


def test_snips_by_hand():
    """4/5 - 2/3.5; errors of a row: w (r - 0.8)/1.25 - w' (r - 4/7)/0.875, over 4."""
    found = differences(FOUR_ROWS, **of_columns())["snips"]
    assert found.value == pytest.approx(0.8 - 4 / 7, rel=1e-14)
    r, w, other = FOUR_ROWS["reward"].to_numpy(), np.array([2.0, 1, 2, 0]), np.array([1.0, 1, 1, 0.5])
    errors = w * (r - 0.8) / 1.25 - other * (r - 4 / 7) / 0.875
    assert found.stderr == pytest.approx(math.sqrt((errors**2).sum()) / 4, rel=1e-14)


def test_dr_by_hand():
    """Rows (q_target - q_other) + (w - w') (r - q_logged)."""
    found = differences(FOUR_ROWS, **of_columns())["dr"]
    rows = np.array([0.25, 0, 0.25, 0]) + np.array([1, 0, 1, -0.5]) * np.array([0.5, -0.5, 0, 0])
    assert found.value == pytest.approx(rows.mean(), rel=1e-14)
    assert found.stderr == pytest.approx(rows.std(ddof=1) / 2, rel=1e-14)


@pytest.mark.parametrize("against", ["logged", "uniform", "fixed:b"])
def test_the_value_is_that_of_one_less_that_of_the_other(against):
    """For each estimator whose λ is given, to 1e-12; so two policies add up whichever is asked for first."""
    frame, names = (
        log(400, seed=1),
        [
            f"{name}:{0.3 if one.transform == 'sg' else 3}" if one.transform else name
            for name, one in ((name, ESTIMATORS[name]) for name in OF_ACTIONS)
            if not one.own
        ],
    )
    report = evaluate_frame(frame, Question(policies=["fixed:a", against], estimators=names, against=against))
    one, other = report["fixed:a"], report[against]
    assert len(one.against.estimates) == len(names)
    for mine, theirs, both, same in zip(
        one.estimates, other.estimates, one.against.estimates, other.against.estimates, strict=True
    ):
        assert both.value == pytest.approx(mine.value - theirs.value, abs=1e-12), both.estimator
        assert both.stderr <= mine.stderr + theirs.stderr + 1e-12
        assert (same.value, same.stderr) == pytest.approx((0, 0), abs=1e-9), same.estimator


def test_the_error_is_that_of_the_rows():
    """By IPS and DR it is the sample standard deviation of the row differences, over √n."""
    frame = log(300, seed=2)
    found = differences(frame, policies=["fixed:a"], against="uniform", estimators=["ips", "dr"])
    p, r = frame["propensity"].to_numpy(), frame["reward"].to_numpy()
    q = np.array(frame["predicted_rewards"].to_list())
    chosen = np.array([ACTIONS.index(a) for a in frame["action"]])
    w = (chosen == 0) / p - 0.25 / p
    assert found["ips"].stderr == pytest.approx((w * r).std(ddof=1) / math.sqrt(300), rel=1e-12)
    rows = q[:, 0] - q.mean(axis=1) + w * (r - q[np.arange(300), chosen])
    assert found["dr"].value == pytest.approx(rows.mean(), rel=1e-12)
    assert found["dr"].stderr == pytest.approx(rows.std(ddof=1) / math.sqrt(300), rel=1e-12)


def test_of_policies_that_nearly_agree_the_error_is_small():
    """5,000 rows of a uniform logger, two policies that differ in one row of ten: 0.0085 against 0.025 (seed 3)."""
    rng = np.random.default_rng(3)
    arm, own = rng.integers(4, size=5_000), rng.integers(4, size=5_000)
    other = np.where(rng.random(5_000) < 0.9, own, (own + 1) % 4)
    frame = {
        "reward": (rng.random(5_000) < 0.3 + 0.1 * arm).astype(float),
        "propensity": np.full(5_000, 0.25),
        "target_propensity": (arm == own).astype(float),
        "other": (arm == other).astype(float),
    }
    (found,) = evaluate_frame(frame, Question(estimators=["ips"], against="other")).values()
    (swapped,) = evaluate_frame(
        frame, Question(columns=Columns(target_propensity="other"), estimators=["ips"])
    ).values()
    alone = math.hypot(found.estimates[0].stderr, swapped.estimates[0].stderr)
    assert round(alone, 3) == 0.025
    assert round(found.against.estimates[0].stderr, 4) == 0.0085


def test_the_interval_covers_the_difference():
    """Of 300 logs of 400 rows, 95% intervals of a difference miss at most 27 times (seed 4).

    An interval that misses 5% of the time does so more often with a probability of 1.3e-3.
    """
    rng, missed = np.random.default_rng(4), 0
    logging, a, b = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])
    means = np.array([0.2, 0.4, 0.5, 0.7])
    for _ in range(300):
        arm = rng.choice(4, 400, p=logging)
        reward = (rng.random(400) < means[arm]).astype(float)
        frame = {"reward": reward, "propensity": logging[arm], "target_propensity": a[arm], "other": b[arm]}
        low, high = differences(frame, against="other", estimators=["ips"])["ips"].interval
        missed += not low <= (a - b) @ means <= high
    assert missed <= 27


def test_the_logging_policy_earned_what_was_logged():
    """With columns, the lift by DR is DR less the mean reward, to 1e-12."""
    frame = FOUR_ROWS
    (found,) = evaluate_frame(frame, Question(estimators=["ips", "dr"], against="logged")).values()
    for mine, lift in zip(found.estimates, found.against.estimates, strict=True):
        assert lift.value == pytest.approx(mine.value - 0.5, abs=1e-12)


@pytest.mark.parametrize("engine", ["polars", "lazy", "pandas", "pyarrow", "numpy"])
def test_engines_agree(engine):
    """Every engine gives the same differences, to 1e-12."""
    frame = {
        "polars": FOUR_ROWS,
        "lazy": FOUR_ROWS.lazy(),
        "pandas": FOUR_ROWS.to_pandas(),
        "pyarrow": FOUR_ROWS.to_arrow(),
        "numpy": {name: FOUR_ROWS[name].to_numpy() for name in FOUR_ROWS.columns},
    }[engine]
    found, expected = differences(frame, **of_columns()), differences(FOUR_ROWS, **of_columns())
    assert found.keys() == expected.keys()
    for name, one in found.items():
        assert (one.value, one.stderr) == pytest.approx((expected[name].value, expected[name].stderr), abs=1e-12)


def test_several_loggers():
    """The difference of balanced and weighted estimates is taken on the same rows too, and 0 for the same policy."""
    frame = log(300, seed=5).with_columns(
        propensity_x=pl.col("propensity"), propensity_y=pl.col("propensity") * 0.5 + 0.1
    )
    names = ["balanced_ips", "balanced_snips", "weighted_ips", "weighted_dr"]
    asked = Question(
        policies=["fixed:a", "uniform"], against="uniform", estimators=names, columns=Columns(logger="maker")
    )
    report = evaluate_frame(frame, asked)
    one, other = report["fixed:a"], report["uniform"]
    assert [each.estimator for each in one.against.estimates] == names
    for mine, theirs, both in zip(one.estimates, other.estimates, one.against.estimates, strict=True):
        assert both.value == pytest.approx(mine.value - theirs.value, abs=1e-12)
    assert [each.value for each in other.against.estimates] == pytest.approx([0] * 4, abs=1e-12)


def test_categories():
    """Under --embedding the weights of both are those of the category."""
    frame = log(300, seed=6).with_columns(kind=pl.col("action").replace({"b": "a"}))
    asked = Question(
        policies=["fixed:a", "uniform"], against="uniform", estimators=["ips"], columns=Columns(embedding="kind")
    )
    report = evaluate_frame(frame, asked)
    value = report["fixed:a"].estimates[0].value - report["uniform"].estimates[0].value
    assert report["fixed:a"].against.estimates[0].value == pytest.approx(value, abs=1e-12)


def test_numbers():
    """Where actions are numbers, the other is a column of its action, or the logger."""
    rng = np.random.default_rng(7)
    frame = pl.DataFrame(
        {
            "action": rng.random(200),
            "propensity": np.ones(200),
            "reward": rng.random(200),
            "wanted": np.full(200, 0.4),
            "before": np.full(200, 0.6),
        }
    )

    def value(action: str, against: str) -> tuple[float, float]:
        columns = Columns(target_action=action)
        (one,) = evaluate_frame(
            frame, Question(columns=columns, bandwidth=0.2, estimators=["ips"], against=against)
        ).values()
        return one.estimates[0].value, one.against.estimates[0].value

    wanted, difference = value("wanted", "before")
    before, lift = value("before", "logged")
    assert difference == pytest.approx(wanted - before, abs=1e-12)
    assert lift == pytest.approx(before - frame["reward"].mean(), abs=1e-12)


def test_only_what_needs_no_predictions_of_the_other():
    """A column without --q-against is compared by what reads no predictions, and the rest is named."""
    (found,) = evaluate_frame(FOUR_ROWS, Question(against="other", estimators=["ips", "dr", "replay"])).values()
    assert [one.estimator for one in found.against.estimates] == ["ips"]
    assert any(note.startswith("not compared with other: dr, replay") for note in found.notes)


def test_the_json():
    """One key more, with the other's name and estimates of the usual shape."""
    found = report_as_json(evaluate_frame(FOUR_ROWS, Question(**of_columns(estimators=["ips"]))))
    assert found["against"]["policy"] == "other"
    assert found["against"]["estimates"][0].keys() == found["estimates"][0].keys()
    assert "parts" not in found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"against": "othr"}, "Did you mean --against other"),
        ({"against": "other", "columns": Columns(q_against="nope")}, "no column 'nope'"),
        ({"policies": ["uniform"], "against": "other"}, "unknown policy 'other'"),
        ({"policies": ["uniform"], "against": "fixed:zz"}, "--against fixed:zz: action 'zz' never occurs"),
    ],
)
def test_what_cannot_be_compared(options, says):
    """A column or a policy that is not there is named, with the way out."""
    frame = FOUR_ROWS if "policies" not in options else log(50, seed=8)
    with pytest.raises(InvalidRequest, match=says):
        evaluate_frame(frame, Question(**options))


def test_a_broken_propensity_of_the_other():
    """It is found like the target's, with its row and its column."""
    spoilt = FOUR_ROWS.with_columns(other=pl.Series([0.5, 1.5, 0.25, 0.5]))
    with pytest.raises(InvalidLog, match=r"row 2: other is 1\.5"):
        evaluate_frame(spoilt, Question(against="other"))


def test_numbers_in_text_files(tmp_path):
    """The other's columns are read as numbers from CSV."""
    FOUR_ROWS.write_csv(tmp_path / "log.csv")
    (found,) = evaluate_files([tmp_path / "log.csv"], Question(**of_columns(estimators=["ips", "dr"]))).values()
    expected = differences(FOUR_ROWS, **of_columns())
    assert [one.value for one in found.against.estimates] == [expected[name].value for name in ("ips", "dr")]
