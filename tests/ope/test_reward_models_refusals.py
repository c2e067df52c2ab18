"""What a reward model cannot be made from is refused in words, and so is a model that was trained on the rows."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from reward_worlds import world
from sklearn.linear_model import LinearRegression
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.delays.asked import Delays
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_frame
from ope.frames import Columns
from ope.question import Question
from ope.report.table import report_as_table
from ope.reward_models.asked import RewardModel
from ope.reward_models.untrained import Declared

LOG = world(30, 41)
START = datetime(2026, 3, 1, tzinfo=UTC)


def judged(log=LOG, model=None, **options):
    """Judge uniform on a log by DR."""
    asked = {"policies": ["uniform"], "estimators": ["dr"]} | options
    (found,) = evaluate_frame(log, Question(**asked, model=model or RewardModel())).values()
    return found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "forest"}, "--model forest: there is no such model; the models are auto, ridge"),
        ({"kind": LinearRegression}, "it is a scikit-learn regressor or classifier"),
        ({"kind": 3}, "the model is 3; it is"),
        ({"fit": "all"}, "--model-fit all: there is no such way; it is cross_fitted or past"),
        ({"folds": 1}, "--folds is 1; it is from 2 to 100"),
        ({"rows": 0}, "--model-rows is 0; a model learns from at least one row"),
        ({"seed": -1}, "--seed is -1"),
        ({"fit": "past", "fold_by": "user"}, "--fold-by user: models of the past have no folds"),
    ],
)
def test_models_that_cannot_be(options, says):
    """A model is refused where it is named."""
    with pytest.raises(InvalidRequest, match=says):
        RewardModel(**options)


@pytest.mark.parametrize(
    ("log", "options", "says"),
    [
        (LOG, {"estimators": ["ips"]}, "--model: ips read no predicted rewards. Ask for dr too"),
        (LOG, {"estimators": ["sips"]}, "--model is about one choice's reward"),
        (LOG, {"columns": Columns(q_logged="q")}, "--q-logged q and --model are two answers"),
        (LOG, {"declared": Declared(trained="seen")}, "--model makes its own"),
        (LOG, {"columns": Columns(q_against="q")}, "two policies are compared by predictions of one model"),
        (LOG, {"columns": Columns(target_action="t"), "bandwidth": 1.0, "policies": []}, "not of numbers"),
        (LOG, {"model": RewardModel(features=("age",))}, "there is no column 'age'.*--model-features"),
        (LOG, {"model": RewardModel(fold_by="person")}, "there is no column 'person'"),
        (LOG.drop("action"), {}, "there is no column 'action'"),
        (LOG.drop("distribution"), {}, "the column 'distribution' lists"),
        (LOG, {"policies": []}, "the column 'target_distribution' lists"),
        (LOG, {"model": RewardModel(kind="logistic")}, "--model logistic: a reward is .*Ask for --model ridge"),
    ],
)
def test_questions_that_cannot_be(log, options, says):
    """What does not go together is refused before anything is fitted."""
    with pytest.raises(InvalidRequest, match=says):
        judged(log, **options)


def test_a_fitted_model():
    """A model that is fitted may have seen the rows; unfitted it is taken, and stays as it was."""
    x = np.arange(4.0)[:, None]
    with pytest.raises(InvalidRequest, match=r"LinearRegression is fitted already.*Give it unfitted"):
        judged(model=RewardModel(kind=LinearRegression().fit(x, x[:, 0])))
    model = LinearRegression()
    judged(model=RewardModel(kind=model))
    assert not hasattr(model, "coef_")


def with_cell(column, value):
    """Return the log with another cell in its third row."""
    return LOG.with_columns(pl.when(pl.int_range(pl.len()) == 2).then(pl.lit(value)).otherwise(column).alias(column))


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("context", '{"x": null}', r"row 3: context: .*'context.x' is None; a feature is a number"),
        ("context", '{"x": 1', r"row 3: context: .* is no JSON"),
        ("actions", '{"a": 1}', r"row 3: actions: .* is no list of \{id, features\}"),
        ("actions", '[{"features": {}}]', r"row 3: actions: an action has no id"),
        ("actions", '[{"id": "a", "features": 3}]', r"row 3: actions: the features of action 'a' are '3'"),
        ("actions", '[{"id": "a", "features": {"size": [null]}}]', r"row 3: actions: action 'a': 'size' contains None"),
    ],
)
def test_broken_features(column, value, says):
    """A broken cell is refused with its row, by every way to fit."""
    for fit in ("cross_fitted", "past"):
        with pytest.raises(InvalidLog, match=says):
            judged(with_cell(column, value), RewardModel(fit=fit, rows=3))


@pytest.mark.parametrize("value", [None, "[]", '[{"id": "a", "features": {"size": 1}}]', '["a", "b"]'])
def test_actions_without_features(value):
    """An action whose features are not there is told by its id."""
    assert np.isfinite(judged(with_cell("actions", value)).estimates[0].value)
    assert np.isfinite(judged(LOG.drop("actions")).estimates[0].value)


def test_a_context_that_is_not_there():
    """A null context is a context of which nothing is known."""
    assert np.isfinite(judged(with_cell("context", None)).estimates[0].value)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_fewer_rows_than_folds(rows):
    """A few rows are predicted where others are in other folds; one row has none to learn from."""
    if rows == 1:
        with pytest.raises(InvalidLog, match=r"all rows with a reward are in one fold of 5.*leave --model out"):
            judged(LOG[:1])
    else:
        assert np.isfinite(judged(LOG[:rows]).estimates[0].value)


def test_one_user():
    """If all rows are kept together there are none to learn from."""
    with pytest.raises(InvalidLog, match="More values of user make more folds"):
        judged(LOG.with_columns(user=pl.lit("u")), RewardModel(fold_by="user"))
    with pytest.raises(InvalidLog, match="row 3: user is null; rows are kept together by it"):
        judged(with_cell("user", None), RewardModel(fold_by="user"))


def test_no_rows_and_few_rows_of_the_past():
    """An empty log is refused as ever; a short one has no past, and DR is IPS."""
    with pytest.raises(InvalidLog, match="no rows"):
        judged(LOG[:0])
    found = judged(model=RewardModel(fit="past"), estimators=["ips", "dr"]).estimates
    assert found[0].value == pytest.approx(found[1].value)


def test_bad_rewards_are_refused_as_ever():
    """A reward that is null is named with its row, although models were fitted around it."""
    with pytest.raises(InvalidLog, match="row 3: reward is None; a reward is a finite number"):
        judged(with_cell("reward", None))
    found = judged(with_cell("reward", None), on_bad_rows="report")
    assert (found.n, found.bad_rows.broken) == (29, 1)


def test_a_target_that_does_not_add_up():
    """A target's distribution is one, and the first row where it is not is named."""
    half = [{"action": "a", "propensity": 0.5}]
    log = LOG.with_columns(target_distribution=pl.Series([half] * len(LOG)), target_propensity=pl.lit(0.5))
    with pytest.raises(InvalidLog, match=r"row 1: target_distribution has the propensities \[0.5\]"):
        judged(log, policies=[])


# What is declared of a log's own predictions

OWN = LOG.drop("distribution").with_columns(
    target_propensity=pl.lit(0.5),
    q_logged=pl.lit(0.25),
    q_target=pl.lit(0.5),
    at=pl.datetime_range(START, START + timedelta(minutes=29), "1m", eager=True, time_zone="UTC"),
    seen=pl.int_range(30) < 2,
)


def own(log=OWN, **declared):
    """Judge the columns of a log by DR."""
    return evaluate_frame(log, Question(estimators=["dr"], declared=Declared(**declared)))["columns"]


def test_nothing_declared():
    """Predictions that say nothing of themselves are read, and that they say nothing is said."""
    found = own()
    assert found.predictions_from == "column"
    says = "nothing says what the model behind q_logged and q_target was trained on"
    assert says in "".join(map(str, report_as_table({"columns": found}).renderables))
    declared = report_as_table({"columns": own(OWN[2:], trained="seen")})
    assert says not in "".join(map(str, declared.renderables))


def test_trained_until():
    """Rows after the time are judged as by a model of the past; one at it is refused, with its row and time."""
    found = own(until="2026-02-28T23:59:59Z")
    assert (found.predictions_from, found.notes) == ("past", ())
    assert found.estimates[0].value == pytest.approx(own().estimates[0].value)
    with pytest.raises(InvalidLog, match=r"row 1: at is .*a model judges no row that it was trained on.*3 rows"):
        own(until="2026-03-01T00:02:00Z")
    with pytest.raises(InvalidLog, match="row 1: at is None"):
        own(OWN.with_columns(at=pl.lit(None, pl.Datetime("us", "UTC"))), until="2026-02-28T00:00:00")


def test_trained():
    """A column says which rows were trained on: none may be, or they are left out and listed."""
    with pytest.raises(InvalidLog, match=r"row 1: seen is True; a model judges no row.*--model auto. \(2 rows"):
        own(trained="seen")
    found = own(OWN[2:], trained="seen")
    assert (found.predictions_from, found.notes) == ("cross_fitted", ())
    log = LOG.with_columns(predicted_rewards=pl.lit([0.0, 1.0, 2.0]), seen=pl.lit(0))
    declared = {"estimators": ["dr"], "declared": Declared(trained="seen")}
    assert evaluate_frame(log, Question(policies=["uniform"], **declared))["uniform"].predictions_from == "cross_fitted"
    question = Question(estimators=["dr"], declared=Declared(trained="seen"), on_bad_rows="report")
    assert evaluate_frame(OWN, question)["columns"].bad_rows.broken == 2


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"until": "yesterday"}, "--trained-until is 'yesterday'; it is a time"),
        ({"until": "2026-03-01", "trained": "seen"}, "two answers to one question"),
        ({"trained": "unknown"}, "there is no column 'unknown'"),
    ],
)
def test_declarations_that_cannot_be(declared, says):
    """A declaration is a time or a column of the log."""
    with pytest.raises(InvalidRequest, match=says):
        own(**declared)


# The command

COMMAND = ["evaluate", "--policy", "uniform", "--estimators", "ips,dr", "--format", "json"]


def run(path, *options):
    """Run `ope evaluate` in this process."""
    return CliRunner().invoke(app, [*COMMAND, str(path), *options])


def test_the_command(tmp_path):
    """--model and its options reach the evaluation; the note is on stderr beside the JSON."""
    path = tmp_path / "log.parquet"
    LOG.write_parquet(path)
    options = [
        "--folds",
        "3",
        "--fold-by",
        "user",
        "--seed",
        "7",
        "--model-rows",
        "10",
        "--model-features",
        "context,user",
    ]
    result = run(path, "--model", "ridge", *options)
    assert result.exit_code == 0
    assert (
        result.stderr == "uniform: dr: rewards predicted by ridge, cross-fitted in 3 folds, on 10 rows at most each\n"
    )
    model = RewardModel(kind="ridge", folds=3, fold_by="user", seed=7, rows=10, features=("context", "user"))
    assert json.loads(result.stdout)["estimates"][1]["value"] == pytest.approx(judged(model=model).estimates[0].value)
    assert run(path, "--model", "forest").exit_code == 2
    assert run(path, "--model", "auto", "--model-fit", "past", "--model-features", "none").exit_code == 0
    assert run(path, "--trained", "gone").exit_code == 2
    result = run(path, "--model-fit", "past")
    assert (result.exit_code, "Ask for --model auto" in result.stderr) == (2, True)


def test_models_and_what_they_void():
    """A fitted model is refused under worst-case bounds, and one that saw later rows is none of the past."""
    frame = world(60, 1)
    for question, says in (
        (Question(model=RewardModel(), delays=Delays(unresolved="bounds"), reward_range=(0, 1)), "does not bound it"),
        (Question(model=RewardModel(), past_predictions=True), "Ask for --model-fit past"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            evaluate_frame(frame, question)


def test_a_model_of_the_past_bounds_dr_at_every_look():
    """With --model-fit past, dr has an interval of betting without a further declaration; cross-fitted it has none."""
    frame = world(300, 1)
    asked = Question(
        policies=["fixed:c"], estimators=["ips", "dr"], interval="betting", reward_range=(-10, 10), largest_weight=50
    )
    for fit, bounded in (("past", True), ("cross_fitted", False)):
        (found,) = evaluate_frame(frame, replace(asked, model=RewardModel(kind="ridge", fit=fit))).values()
        low, _ = found.estimates[1].interval
        assert np.isfinite(low) == bounded
