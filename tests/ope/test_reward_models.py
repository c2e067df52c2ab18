"""Reward models: what they predict, that no row is predicted by what it taught, and that cutting changes nothing."""

import json
import tempfile
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from reward_worlds import ACTIONS, EFFECTS, NAMES, SIZES, world
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from ope.evaluate import evaluate_files, evaluate_frame
from ope.formats.source import Source
from ope.frames import Columns
from ope.question import Question
from ope.reward_models import past, reading
from ope.reward_models.asked import RewardModel
from ope.reward_models.folds import folds_of
from ope.reward_models.pairs import Named
from ope.reward_models.predictions import predicted
from ope.reward_models.sample import Row, Sample


def predictions(*frames, policies=True, **options):
    """Return what a model predicts of a log of these frames, row after row."""
    sources = [Source("log", one, one) for one in map(nw.from_native, frames)]
    with predicted(sources, Columns(), RewardModel(**options), policies=policies) as found:
        columns = ["predicted_rewards"] if policies else ["q_logged", "q_target"]
        return np.concatenate(
            [np.array([np.hstack(row) for row in one.frame.select(*columns).collect().rows()]) for one in found]
        )


def values(frame, model, **options):
    """Return {estimator: value} of uniform on a frame."""
    question = Question(
        policies=["uniform"], estimators=["ips", "dm", "dr", "sndr", "switch_dr:2", "dros:4"], model=model
    )
    return {one.estimator: one.value for one in evaluate_frame(frame, question)["uniform"].estimates}


def folds(frame, column="decision_id", *, of=5, seed=0):
    """Return the fold of each row."""
    return folds_of(frame[column].to_list(), folds=of, seed=seed)


def test_by_hand():
    """In two folds the mean of one predicts the other: DM, DR and what they are made of, for four decisions."""
    ids = ["d0", "d1", "d2", "d3"]
    assert folds_of(ids, folds=2, seed=13).tolist() == [0, 0, 1, 0]
    log = world(4, 0).with_columns(reward=pl.Series([1.0, 2.0, 4.0, 6.0]), action=pl.lit("a"), propensity=pl.lit(0.6))
    model = RewardModel(kind=DummyRegressor(), folds=2, seed=13)
    assert np.allclose(predictions(log, kind=DummyRegressor(), folds=2, seed=13).T, [4.0, 4.0, 3.0, 4.0])
    found = values(log, model)
    w = 1 / 3 / 0.6
    assert found["dm"] == pytest.approx((4 + 4 + 3 + 4) / 4)
    assert found["dr"] == pytest.approx((4 + 4 + 3 + 4 + w * ((1 - 4) + (2 - 4) + (4 - 3) + (6 - 4))) / 4)


def design(log):
    """Return the features of each row with each action, shape (n, 3, k), as numpy alone makes them."""
    contexts = [json.loads(one) for one in log["context"]]
    words = ["red", "blue"]
    own = np.array([[one["x"], *(one["word"] == word for word in words)] for one in contexts])
    found = []
    for place, size in enumerate(SIZES):
        chosen = np.eye(3)[place]
        crossed = np.hstack([own * here for here in chosen])
        rest = np.hstack([np.tile(chosen, (len(own), 1)), np.full((len(own), 1), size)])
        found.append(np.hstack([own, rest, crossed]))
    return np.stack(found, axis=1)


def closed_form(x, y):
    """Return intercept and coefficients of ridge with a penalty of 1 on features scaled to at most 1."""
    scale = np.abs(x).max(0)
    scale[scale == 0] = 1
    z = x / scale
    centred = z - z.mean(0)
    beta = np.linalg.solve(centred.T @ centred + np.eye(x.shape[1]), centred.T @ (y - y.mean())) / scale
    return y.mean() - x.mean(0) @ beta, beta


def test_ridge_is_the_closed_form():
    """Each fold is predicted by (ZᵀZ + I)⁻¹ Zᵀy of the others, with a context of its own for each action."""
    log = world(400, 1)
    x, y = design(log), log["reward"].to_numpy()
    played = x[np.arange(len(log)), [NAMES.index(one) for one in log["action"]]]
    fold, expected = folds(log), np.empty((len(log), 3))
    for one in range(5):
        intercept, beta = closed_form(played[fold != one], y[fold != one])
        expected[fold == one] = intercept + x[fold == one] @ beta
    assert np.abs(predictions(log, kind="ridge") - expected).max() < 1e-7


def test_auto_is_logistic_for_zeros_and_ones():
    """Predictions of 0 and 1 are probabilities that order the actions; other rewards are predicted by ridge."""
    binary = world(800, 2, binary=True)
    found = predictions(binary)
    assert ((found > 0) & (found < 1)).all()
    assert np.array_equal(found, predictions(binary, kind="logistic"))
    assert np.array_equal(predictions(world(100, 2)), predictions(world(100, 2), kind="ridge"))


@pytest.mark.parametrize("kind", ["ridge", "gradient_boosting", LinearRegression()])
def test_models_find_the_means(kind):
    """Predictions are closer to the mean rewards than rewards are; trees see what a line sees, if less well."""
    log = world(1_500, 3)
    x = np.array([json.loads(one)["x"] for one in log["context"]])
    means = EFFECTS[:, 0] + x[:, None] * EFFECTS[:, 1]
    error = np.sqrt(((predictions(log, kind=kind) - means) ** 2).mean())
    assert error < (0.5 if kind == "gradient_boosting" else 0.1)


@pytest.mark.parametrize("kind", ["ridge", "gradient_boosting"])
def test_no_row_is_predicted_by_what_it_taught(kind):
    """A decision's reward, and its copy's, moves the predictions of all other folds, and not of its own."""
    log = world(60, 4)
    log = pl.concat([log, log[5:6]])
    other = log.with_columns(reward=pl.when(pl.col("decision_id") == "d5").then(99.0).otherwise("reward"))
    moved = (predictions(log, kind=kind) != predictions(other, kind=kind)).any(1)
    own = folds(log) == folds(log)[5]
    assert own.sum() > 2
    assert not moved[own].any()
    assert moved[~own].all()


def test_fold_by_keeps_a_user_together():
    """With --fold-by no decision of a user is predicted by what another of the same user taught."""
    log = world(60, 5)
    other = log.with_columns(reward=pl.when(pl.col("decision_id") == "d3").then(99.0).otherwise("reward"))
    moved = (predictions(log, fold_by="user") != predictions(other, fold_by="user")).any(1)
    own = folds(log, "user") == folds(log, "user")[3]
    assert len(set(log["user"].filter(pl.Series(own)))) > 1
    assert not moved[own].any()
    assert moved[~own].all()


def test_the_past_knows_nothing_of_what_comes():
    """A reward moves only predictions after it, from the next doubling on; the first 128 rows are predicted by 0."""
    log = world(600, 6)
    before = predictions(log, fit="past")
    assert (before[: past.FIRST] == 0).all()
    assert (before[past.FIRST :] != 0).all()
    other = log.with_columns(reward=pl.when(pl.col("decision_id") == "d200").then(99.0).otherwise("reward"))
    moved = (before != predictions(other, fit="past")).any(1)
    assert not moved[:256].any()
    assert moved[256:].all()


def test_files_of_the_past_are_one_after_the_other():
    """Two files teach as one does, in the order given."""
    log = world(500, 7)
    assert np.array_equal(predictions(log, fit="past"), predictions(log[:300], log[300:], fit="past"))


def test_ways_of_cutting_give_the_same_numbers(monkeypatch):
    """Batches of 7 rows and 10 pairs predict bit for bit as one batch does."""
    log = world(160, 8)
    options = [{}, {"fit": "past"}, {"kind": "gradient_boosting", "folds": 2}]
    whole = [predictions(log, **one) for one in options]
    monkeypatch.setattr(reading, "AT_ONCE", 7)
    monkeypatch.setattr(reading, "MOST_PAIRS", 10)
    for one, expected in zip(options, whole, strict=True):
        assert np.abs(predictions(log, **one) - expected).max() < 1e-12


def test_formats_and_frames_give_the_same_numbers(tmp_path):
    """Parquet, NDJSON with nested columns, CSV with JSON text, polars, pandas and pyarrow agree."""
    log = world(200, 9)
    text = pl.col("distribution").map_elements(lambda one: json.dumps(list(one)), return_dtype=pl.String)
    log.write_parquet(tmp_path / "log.parquet")
    log.with_columns(text).write_csv(tmp_path / "log.csv")
    lines = [row | {"context": json.loads(row["context"]), "actions": json.loads(ACTIONS)} for row in log.to_dicts()]
    (tmp_path / "log.ndjson").write_text("\n".join(map(json.dumps, lines)))
    model = RewardModel()
    expected = values(log, model)
    for frame in (log.lazy(), log.to_pandas(), log.to_arrow()):
        assert values(frame, model) == pytest.approx(expected, rel=1e-12)
    question = Question(policies=["uniform"], estimators=list(expected), model=model)
    for path in sorted(tmp_path.iterdir()):
        (found,) = evaluate_files([path], question).values()
        assert {one.estimator: one.value for one in found.estimates} == pytest.approx(expected, rel=1e-9), path


def test_equal_seeds_give_equal_numbers():
    """The seed decides on folds and sampled rows; another one gives other numbers, and so do fewer rows."""
    log = world(300, 10)
    first = predictions(log, seed=1, rows=50)
    assert np.array_equal(first, predictions(log, seed=1, rows=50))
    assert not np.array_equal(first, predictions(log, seed=2, rows=50))
    assert not np.array_equal(first, predictions(log, seed=1))


def test_at_most_so_many_rows_are_learned_from():
    """A model of one row predicts by that row alone; of all rows, by their mean."""
    log = world(200, 11)
    rewards = set(log["reward"])
    found = predictions(log, kind=DummyRegressor(), rows=1)
    assert set(found.ravel()) < rewards
    assert len(set(found.ravel())) <= 5
    assert not set(predictions(log, kind=DummyRegressor()).ravel()) & rewards


def test_a_target_of_columns():
    """With target_distribution, q_logged is the logged action's prediction and q_target the target's expected one."""
    target = [{"action": name, "propensity": p} for name, p in (("c", 0.25), ("a", 0.75))]
    log = world(200, 12).with_columns(target_distribution=pl.Series([target] * 200), target_propensity=pl.lit(0.5))
    under = predictions(log)
    logged = under[np.arange(200), [NAMES.index(one) for one in log["action"]]]
    expected = np.column_stack([logged, under @ [0.75, 0, 0.25]])
    assert np.abs(predictions(log.drop("distribution"), policies=False) - expected).max() < 1e-12
    found = evaluate_frame(log, Question(model=RewardModel(), estimators=["dm"]))["columns"]
    assert found.estimates[0].value == pytest.approx(expected[:, 1].mean())


def test_columns_may_hold_the_features():
    """Plain columns are features under their names, null among them; without any, only actions are told apart."""
    log = world(600, 13)
    x = [json.loads(one)["x"] for one in log["context"]]
    plain = log.drop("context").with_columns(
        x=pl.Series([None if i % 50 == 0 else v for i, v in enumerate(x)]), day=pl.lit("monday")
    )
    means = EFFECTS[:, 0] + np.array(x)[:, None] * EFFECTS[:, 1]
    known = np.arange(600) % 50 != 0
    found = predictions(plain, features=("x", "day"))
    assert np.sqrt(((found - means)[known] ** 2).mean()) < 0.2
    blind = predictions(plain, features=())
    assert np.ptp(blind[folds(log) == 0], axis=0).max() < 1e-12
    assert np.ptp(blind[0]) > 0.5


def test_the_log_s_own_predictions_are_replaced():
    """Rewards are predicted anew although the log has predictions, and the evaluation says by whom."""
    log = world(200, 14).with_columns(predicted_rewards=pl.lit([9.0, 9.0, 9.0]))
    question = {"policies": ["uniform"], "estimators": ["ips", "dm"]}
    own = evaluate_frame(log, Question(**question))["uniform"]
    anew = evaluate_frame(log, Question(**question, model=RewardModel(kind="ridge")))["uniform"]
    behind = evaluate_frame(log, Question(**question, model=RewardModel(kind="ridge", fit="past")))["uniform"]
    assert own.estimates[1].value == pytest.approx(9)
    assert abs(anew.estimates[1].value) < 2
    assert [own.predictions_from, anew.predictions_from, behind.predictions_from] == ["past", "cross_fitted", "past"]
    assert own.notes == ()
    assert anew.notes == ("dm: rewards predicted by ridge, cross-fitted in 5 folds, on 100,000 rows at most each",)
    assert behind.notes == ("dm: rewards predicted by ridge, trained on the past only, on 100,000 rows at most",)
    assert evaluate_frame(log, Question(policies=["uniform"], estimators=["ips"]))["uniform"].predictions_from is None


def test_temporary_files_are_removed(tmp_path, monkeypatch):
    """Predictions lie in the folder for temporary files while they are used, and not a moment longer."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    frame = nw.from_native(world(50, 15))
    with predicted([Source("log", frame, frame)], Columns(), RewardModel(), policies=True):
        assert [one.name for folder in tmp_path.iterdir() for one in folder.iterdir()] == ["0.parquet"]
    assert list(Path(tmp_path).iterdir()) == []


def test_few_rewards_are_not_learned_from():
    """Rows without a reward are predicted and not learned from; a reward that never varies is predicted by itself."""
    log = world(60, 16)
    gone = log.with_columns(reward=pl.when(pl.col("decision_id") == "d7").then(None).otherwise("reward"))
    without = log.filter(pl.col("decision_id") != "d7")
    assert np.array_equal(np.delete(predictions(gone), 7, 0), predictions(without))
    assert (predictions(log.with_columns(reward=pl.lit(2.5)), kind="gradient_boosting") == 2.5).all()


def test_a_feature_that_was_never_seen_is_ignored():
    """What only the predicted row has says nothing: it is predicted as without."""
    log = world(100, 17)
    context = json.loads(log["context"][0])
    odd = pl.when(pl.int_range(100) == 0).then(pl.lit(json.dumps(context | {"zz": 5.0, "0": 7.0}))).otherwise("context")
    for kind in ("ridge", "gradient_boosting"):
        found = predictions(log.with_columns(context=odd), kind=kind)
        assert np.abs(found[0] - predictions(log, kind=kind)[0]).max() < 1e-9


def kept(ranks, *, most, most_entries=10**9, width=1):
    """Return the ranks that a sample keeps of rows of so many features, in order."""
    sample = Sample(most, most_entries)
    for rank in ranks:
        sample.offer(int(rank), Row(0, Named(np.zeros(width, np.uint64), np.zeros(width)), float(rank)))
    return [] if not len(sample) else sample.rows(most=most, among=lambda _: True)[1].tolist()


def test_a_sample_is_the_smallest_ranks():
    """Whatever the order in which rows come, those with the smallest ranks stay, as many as there is room for."""
    ranks = np.random.default_rng(18).permutation(50)
    assert kept(ranks, most=7) == list(range(7))
    assert kept(ranks[::-1], most=7) == list(range(7))
    assert kept(ranks, most=100) == list(range(50))
    assert kept(ranks, most=100, most_entries=20, width=3) == list(range(6))
    sample = Sample(7)
    for rank in ranks:
        sample.offer(int(rank), Row(0, Named(np.zeros(1, np.uint64), np.zeros(1)), 0.0))
    assert (len(sample), sample.ceiling) == (7, 7)


def test_parts_and_comparisons_are_by_the_same_models():
    """Models are fitted once, over the whole log: parts add up to it, and both policies have the same predictions."""
    log = world(300, 19).with_columns(half=pl.int_range(300) % 2)
    question = Question(
        policies=["fixed:c"], against="fixed:a", segments=["half"], estimators=["dm"], model=RewardModel(kind="ridge")
    )
    whole = evaluate_frame(log, question)["fixed:c"]
    of_parts = [one.evaluation.estimates[0].value for one in whole.parts]
    assert whole.estimates[0].value == pytest.approx(np.mean(of_parts), rel=1e-12)
    found = predictions(log, kind="ridge").mean(0)
    assert whole.against.estimates[0].value == pytest.approx(found[2] - found[0], rel=1e-9)
    assert [one.evaluation.notes for one in whole.parts] == [(), ()]
