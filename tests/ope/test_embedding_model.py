"""Weights of an action's embedding by a classifier: against the exact weights, against counting, and refusals."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.embedding_model import EmbeddingModel
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_frame
from ope.frames import Columns
from ope.question import Question
from ope.reward_models.asked import RewardModel

LOGISTIC = EmbeddingModel()
ACTIONS, WIDTH = 12, 2
CENTRES = np.repeat([[-2.0, 0.0], [0.0, 2.0], [2.0, 0.0]], 4, axis=0) + np.linspace(-0.2, 0.2, ACTIONS)[:, None]
"""Three groups of four actions that look alike."""


def judged(log, policy="uniform", model=LOGISTIC, **options):
    """Return the evaluation of one policy."""
    question = Question(policies=[policy], columns=Columns(embedding="e"), embedding_model=model, **options)
    return evaluate_frame(log, question)[policy]


def ips(log, policy="uniform", model=LOGISTIC):
    """Return IPS over these weights, and its standard error."""
    (found,) = judged(log, policy, model, estimators=["ips"]).estimates
    return found.value, found.stderr


def simulated(rows, seed):
    """Draw a log: two kinds of context with loggers of their own, normal embeddings that the reward is linear in."""
    rng = np.random.default_rng(seed)
    loggers = np.array([rng.dirichlet(np.ones(ACTIONS)), rng.dirichlet(np.ones(ACTIONS))]) * 0.9 + 0.1 / ACTIONS
    kind = rng.integers(0, 2, rows)
    arm = np.array([rng.choice(ACTIONS, p=loggers[one]) for one in kind])
    e = CENTRES[arm] + rng.normal(size=(rows, WIDTH))
    pairs = [[{"action": str(a), "propensity": p} for a, p in enumerate(one)] for one in loggers]
    log = pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(rows)],
            "action": arm.astype(str),
            "propensity": loggers[kind, arm],
            "reward": e[:, 0] + 3 + 0.1 * rng.normal(size=rows),
            "e": e.tolist(),
            "distribution": [pairs[one] for one in kind],
        }
    )
    return log, loggers[kind], e


def exact(logging, e):
    """Return w(x, e) of uniform under the densities that the embeddings were drawn from."""
    density = np.exp(-((e[:, None] - CENTRES) ** 2).sum(2) / 2)
    return density.mean(1) / (logging * density).sum(1)


def test_the_weights_are_nearly_the_exact_ones():
    """IPS by the classifier is IPS by the true w(x, e), to a fiftieth; both find the truth, 3.

    The exact estimate lies within 5 standard errors of it (1 false alarm in 1.7 million), the plain one's are larger.
    """
    log, logging, e = simulated(4_000, 71)
    x = exact(logging, e) * log["reward"].to_numpy()
    value, stderr = ips(log)
    assert abs(x.mean() - 3) < 5 * x.std() / np.sqrt(len(x))
    assert value == pytest.approx(x.mean(), abs=0.06)
    plain = evaluate_frame(log, Question(policies=["uniform"], estimators=["ips"]))["uniform"].estimates[0]
    assert stderr < plain.stderr * 0.75


def test_the_weights_of_the_logger_are_one():
    """Whatever the classifier says, the logging policy's weight is 1."""
    log, *_ = simulated(200, 72)
    assert ips(log, "logged")[0] == pytest.approx(log["reward"].mean(), rel=1e-12)


def test_agreement_with_counting():
    """Of categories written as unit vectors, a classifier that is free to says what counting does."""
    rng = np.random.default_rng(73)
    log, *_ = simulated(3_000, 73)
    arm = log["action"].cast(pl.Int64).to_numpy()
    kind = np.where(rng.random(3_000) < 0.3, rng.integers(0, 3, 3_000), arm // 4)
    log = log.with_columns(e=pl.Series(np.eye(3)[kind].tolist()), kind=pl.Series(kind.astype(str)))
    columns = Columns(embedding="kind")
    counted = evaluate_frame(log, Question(policies=["uniform"], columns=columns, estimators=["ips"]))["uniform"]
    free = EmbeddingModel(kind=LogisticRegression(C=1e6, max_iter=2_000), folds=20)
    assert ips(log, model=free)[0] == pytest.approx(counted.estimates[0].value, rel=0.01)


def test_no_row_is_weighed_by_what_it_taught():
    """Another embedding of a decision does not change its own classifier, as another of its fold shows."""
    log, *_ = simulated(80, 74)
    twice = pl.concat([log, log[:1]])
    moved = twice.with_columns(e=pl.when(pl.int_range(81) == 80).then(pl.lit([9.0, 9.0])).otherwise("e"))
    alone = pl.when(pl.int_range(81) == 0).then(1.0).otherwise(0.0)  # IPS is then the first row's weight over n
    assert ips(twice.with_columns(reward=alone))[0] == ips(moved.with_columns(reward=alone))[0]
    other = pl.when(pl.int_range(81) > 0).then(1.0).otherwise(0.0)
    assert ips(twice.with_columns(reward=other))[0] != ips(moved.with_columns(reward=other))[0]


def test_text_and_single_numbers_are_read():
    """JSON text is a list, and a number a list of one; equal seeds give equal numbers."""
    log, *_ = simulated(300, 75)
    assert ips(log.with_columns(e=pl.Series([json.dumps(one) for one in log["e"].to_list()])))[0] == ips(log)[0]
    single = log.with_columns(pl.col("e").list.get(0))
    assert ips(single)[0] == ips(log.with_columns(pl.col("e").list.head(1)))[0]
    assert ips(log)[0] != ips(log, model=EmbeddingModel(seed=1))[0]


def test_together_with_a_reward_model(tmp_path):
    """DR has the weights of the embedding and the predictions of a model; the command takes both."""
    log, *_ = simulated(300, 76)
    log = log.with_columns(context=pl.lit("{}"))
    question = Question(
        policies=["uniform"],
        columns=Columns(embedding="e"),
        estimators=["ips", "dr"],
        embedding_model=EmbeddingModel(seed=3),
        model=RewardModel(kind="ridge", seed=3),
    )
    found = [one.value for one in evaluate_frame(log, question)["uniform"].estimates]
    assert found[0] == ips(log, model=EmbeddingModel(seed=3))[0]
    path = tmp_path / "log.parquet"
    log.write_parquet(path)
    options = ["--policy", "uniform", "--embedding", "e", "--embedding-model", "logistic", "--seed", "3"]
    models = ["--model", "ridge", "--estimators", "ips,dr", "--format", "json"]
    report = json.loads(CliRunner().invoke(app, ["evaluate", str(path), *options, *models]).stdout)
    assert [one["value"] for one in report["estimates"]] == pytest.approx(found, rel=1e-12)


def test_an_action_that_was_never_seen():
    """An eligible action that the log never shows has no embedding, and adds nothing."""
    log, *_ = simulated(100, 77)
    more = pl.Series([[*one, {"action": "new", "propensity": 0.0}] for one in log["distribution"].to_list()])
    assert ips(log.with_columns(distribution=more))[0] == pytest.approx(ips(log)[0] * ACTIONS / (ACTIONS + 1))


def test_one_action():
    """Where only one action was ever played there is nothing to tell apart."""
    log, *_ = simulated(20, 78)
    sure = pl.Series([[{"action": "0", "propensity": 1.0}]] * 20)
    log = log.with_columns(action=pl.lit("0"), distribution=sure, propensity=pl.lit(1.0))
    assert ips(log)[0] == pytest.approx(log["reward"].mean())


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"policy": None}, "--embedding needs --policy"),
        ({"e": pl.lit("a").cast(pl.Categorical)}, {}, "e holds Categorical.*a classifier reads lists of numbers"),
        ({"distribution": None}, {}, "the column 'distribution' lists"),
        ({}, {"columns": Columns()}, "--embedding-model is of the column that --embedding names"),
        ({}, {"columns": Columns(embedding="f")}, "there is no column 'f'"),
        ({}, {"model": LogisticRegression().fit([[0], [1]], [0, 1])}, "LogisticRegression is fitted already"),
    ],
)
def test_questions_that_cannot_be(change, options, says):
    """What a classifier cannot do is refused with the way out."""
    log, *_ = simulated(20, 79)
    log = log.drop("distribution") if "distribution" in change else log.with_columns(**change)
    policies = [] if "policy" in options else ["uniform"]
    columns = options.get("columns", Columns(embedding="e"))
    model = EmbeddingModel(kind=options.get("model", "logistic"))
    with pytest.raises(InvalidRequest, match=says):
        evaluate_frame(log, Question(policies=policies, columns=columns, embedding_model=model))


@pytest.mark.parametrize(
    ("kind", "says"),
    [("forest", "--embedding-model forest: there is no such model"), (3, "the model of the embedding is 3")],
)
def test_models_that_cannot_be(kind, says):
    """A classifier has probabilities."""
    with pytest.raises(InvalidRequest, match=says):
        EmbeddingModel(kind=kind)


@pytest.mark.parametrize("cell", [None, [], [1.0], [1.0, None], [1.0, float("nan")]])
def test_a_broken_embedding(cell):
    """The first row whose embedding is not a list of as many finite numbers is named."""
    log, *_ = simulated(20, 80)
    e = pl.Series([cell if i == 4 else one for i, one in enumerate(log["e"].to_list())])
    with pytest.raises(InvalidLog, match=r"row 5: the embedding is .*it is a list of 2 finite numbers"):
        judged(log.with_columns(e=e))


def test_one_row():
    """One row has no others to learn from."""
    log, *_ = simulated(1, 81)
    with pytest.raises(InvalidLog, match="all rows are in one fold of 5"):
        judged(log)
