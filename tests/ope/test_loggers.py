"""Logs that several policies made: the mixture's weights, and the average by precision."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import textbook

from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.table import ESTIMATORS
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question

COLUMNS = Columns(logger="logger")
NAMES = [one.name for one in ESTIMATORS.values() if one.name.startswith(("balanced_", "weighted_"))]
POLICIES = {"a": np.array([0.9, 0.08, 0.02]), "b b": np.array([0.1, 0.3, 0.6]), "7": np.array([1 / 3] * 3)}
SIZES = {"a": 0.5, "b b": 0.2, "7": 0.3}
TARGET = np.array([0.1, 0.2, 0.7])
MEANS = np.array([0.3, 0.5, 0.8])
TRUTH = float(TARGET @ MEANS)


def simulated(rows, seed):
    """Draw a log of three loggers, with a model that is off."""
    rng = np.random.default_rng(seed)
    logger = rng.choice(list(SIZES), rows, p=list(SIZES.values()))
    arm = np.array([rng.choice(3, p=POLICIES[one]) for one in logger])
    log = {f"propensity_{name}": p[arm] for name, p in POLICIES.items()}
    return log | {
        "logger": logger,
        "propensity": np.array([POLICIES[one][a] for one, a in zip(logger, arm, strict=True)]),
        "target_propensity": TARGET[arm],
        "reward": rng.binomial(1, MEANS[arm]).astype(float),
        "q_logged": np.array([0.4, 0.4, 0.7])[arm],
        "q_target": np.full(rows, TARGET @ [0.4, 0.4, 0.7]) + rng.normal(0, 0.01, rows),
    }


def by_name(frame, names=NAMES, columns=COLUMNS, **options):
    """Return {estimator: (value, stderr)}."""
    (evaluation,) = evaluate_frame(frame, Question(columns=columns, estimators=list(names), **options)).values()
    return {one.estimator: (one.value, one.stderr) for one in evaluation.estimates}


@pytest.mark.parametrize(
    "make", [pl.DataFrame, pl.LazyFrame, pd.DataFrame, dict, lambda log: pl.DataFrame(log).to_arrow()]
)
def test_engines_agree_with_numpy(make):
    """Values and errors are those of the textbook on every engine; rewards that lie far from 0 cost no digits."""
    log = simulated(1_000, 51)
    log |= {name: log[name] + 1_000 for name in ("reward", "q_logged", "q_target")}
    expected = textbook.several_loggers(log)
    assert set(expected) == set(NAMES)
    for name, found in by_name(make(log)).items():
        assert found == pytest.approx(expected[name], rel=1e-9), name


def test_files_are_one_log(tmp_path):
    """Each logger may have a file of its own: shares are those of all files together."""
    log = pl.DataFrame(simulated(400, 52))
    for number, (_, part) in enumerate(log.group_by("logger", maintain_order=True)):
        part.write_parquet(tmp_path / f"{number}.parquet")
    report = evaluate_files(sorted(tmp_path.iterdir()), Question(columns=COLUMNS, estimators=NAMES))["columns"]
    expected = by_name(log)
    for one in report.estimates:
        assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-10), one.estimator


def test_the_truth_is_found_with_smaller_errors():
    """All lie within 5 standard errors of the truth (1 false alarm in 200,000 runs); and both err less than IPS."""
    found = by_name(simulated(20_000, 53), ["ips", *NAMES])
    for name, (value, stderr) in found.items():
        assert abs(value - TRUTH) < 5 * stderr, name
    assert max(found["balanced_ips"][1], found["weighted_ips"][1]) < found["ips"][1]


def test_a_single_logger_is_no_other_case():
    """With one logger all is as without."""
    log = pl.DataFrame(simulated(300, 54)).with_columns(logger=pl.lit("a"), propensity_a=pl.col("propensity"))
    found = by_name(log, ["ips", "dr", *NAMES])
    for name in ("ips", "dr"):
        assert found[f"balanced_{name}"] == pytest.approx(found[name], rel=1e-12)
        assert found[f"weighted_{name}"][0] == pytest.approx(found[name][0], rel=1e-12)


def test_a_logger_without_spread():
    """One row says nothing of its variance: shares of rows are taken, and the value is plain IPS's."""
    log = pl.DataFrame(simulated(30, 55)).with_columns(
        logger=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("b b")).otherwise(pl.lit("a"))
    )
    found = by_name(log, ["ips", "dr", "weighted_ips", "weighted_dr"])
    assert found["weighted_ips"][0] == pytest.approx(found["ips"][0], rel=1e-12)
    assert found["weighted_dr"][0] == pytest.approx(found["dr"][0], rel=1e-12)


def test_under_a_policy():
    """A policy that needs only the log is judged on the log of several loggers too."""
    log = pl.DataFrame(simulated(200, 56)).with_columns(n_actions=3)
    names = ["balanced_ips", "weighted_ips"]
    expected = by_name(log.with_columns(target_propensity=pl.lit(1 / 3)), names)
    for name, found in by_name(log, names, policies=["uniform"]).items():
        assert found == pytest.approx(expected[name], rel=1e-12)


@pytest.mark.parametrize(
    ("change", "columns", "names", "says"),
    [
        ({}, Columns(), ["weighted_ips"], "estimator weighted_ips needs .*--logger"),
        ({}, Columns(), ["balanced_ips"], "estimator balanced_ips needs --logger, and a column propensity_ID for each"),
        ({"logger": pl.lit("new")}, COLUMNS, ["balanced_dr"], "a column propensity_ID for each logger"),
        ({"logger": pl.int_range(pl.len())}, COLUMNS, ["ips"], "logger names 30 loggers; at most 12 are told apart"),
        ({}, Columns(logger="who"), ["ips"], "there is no column 'who'"),
    ],
)
def test_refusals_in_words(change, columns, names, says):
    """What is missing is named."""
    with pytest.raises(InvalidRequest, match=says):
        by_name(pl.DataFrame(simulated(30, 57)).with_columns(**change), names, columns)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("propensity_a", 1.5, "propensity_a is 1.5; a propensity is between 0 and 1"),
        ("propensity_7", float("nan"), "propensity_7 is nan"),
        ("propensity_a", None, "propensity_a is None"),
        ("logger", None, "logger is null in 1 rows. Name each row's logger"),
    ],
)
def test_bad_rows(column, value, says):
    """A logger's propensity is a probability, and each row has a logger."""
    log = pl.DataFrame(simulated(30, 58))
    values = log[column].to_list()
    values[2] = value
    with pytest.raises(InvalidLog) as caught:
        by_name(log.with_columns(pl.Series(column, values, dtype=log.schema[column])))
    assert says in str(caught.value)


def test_an_action_that_no_logger_plays():
    """A mixture of 0 cannot have logged the row."""
    zero = {f"propensity_{name}": pl.lit(0.0) for name in POLICIES}
    with pytest.raises(InvalidLog, match="some logger had to be able to play the logged action"):
        by_name(pl.DataFrame(simulated(30, 59)).with_columns(**zero))
