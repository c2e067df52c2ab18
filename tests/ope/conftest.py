"""What needs more than this repository is named at the end where it is absent: the real samples, and Spark."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.question import Question

SAMPLES = "VW_SAMPLES"
NEEDS_SAMPLES = "test_real_samples.py"
_absent = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def samples():
    """Return the folder with files of Vowpal Wabbit's own test suite."""
    return Path(os.environ[SAMPLES])


@pytest.fixture(scope="session")
def mixed_log():
    """Return 3,000 rows of two loggers, one of whose names has a dot, with weights that are 0 and weights above 100."""
    rng, n = np.random.default_rng(31), 3_000
    p = rng.uniform(0.005, 1, n)
    return pl.DataFrame(
        {
            "reward": rng.normal(1, 2, n),
            "propensity": p,
            "target_propensity": rng.uniform(0, 1, n) * (rng.random(n) > 0.1),
            "q_logged": rng.normal(1, 1, n),
            "q_target": rng.normal(1, 1, n),
            "logger": np.where(rng.random(n) < 0.3, "v1.2", "old"),
            "propensity_v1.2": p,
            "propensity_old": rng.uniform(0.1, 1, n),
        }
    )


@pytest.fixture
def agree():
    """Return what compares an engine's answers on a file with those of polars."""

    def check(path, engine, *, estimators=("all",), **asked):
        found, expected = (
            evaluate_files([path], Question(estimators=estimators, engine=one, weights=True, **asked))["columns"]
            for one in (engine, "polars")
        )
        theirs = {one.estimator: one for one in found.estimates}
        assert set(theirs) >= {one.estimator for one in expected.estimates} - {"replay"}
        for one in expected.estimates:
            if one.estimator in theirs:
                numbers = (theirs[one.estimator].value, theirs[one.estimator].stderr)
                assert numbers == pytest.approx((one.value, one.stderr), rel=1e-10), one.estimator
        assert [(one.low, one.rows) for one in found.weights.bins] == [
            (one.low, one.rows) for one in expected.weights.bins
        ]
        of_sums = found.diagnostics.ess, found.diagnostics.mean_weight, found.diagnostics.max_weight
        assert of_sums == pytest.approx(
            (expected.diagnostics.ess, expected.diagnostics.mean_weight, expected.diagnostics.max_weight), rel=1e-10
        )

    return check


@pytest.fixture
def breaches_are_named(mixed_log):
    """Return what checks that an engine names the first of two broken rows, far apart, and lists both."""

    def check(path, engine):
        nan = float("nan")
        for column, value in [("propensity", 0.0), ("propensity", nan), ("reward", None), ("q_logged", nan)]:
            log = mixed_log.with_row_index("row")
            broken = pl.when(pl.col("row").is_in([7, 2_900])).then(pl.lit(value, dtype=pl.Float64))
            log.with_columns(broken.otherwise(pl.col(column)).alias(column)).write_parquet(path, row_group_size=700)
            with pytest.raises(InvalidLog) as caught:
                evaluate_files([path], Question(estimators=["ips", "dr"], engine=engine))
            assert f"{path}: row 8: {column} is {value}; " in str(caught.value)
            assert "(2 rows break a rule.)" in str(caught.value)
        found = evaluate_files([path], Question(estimators=["dr"], engine=engine, on_bad_rows="report"))["columns"]
        assert (found.n, found.bad_rows.broken) == (2_998, 2)
        assert [one.row for one in found.bad_rows.shown] == [8, 2_901]

    return check


def _of_samples(item):
    return item.path.name == NEEDS_SAMPLES


def _of_spark(item):
    return item.get_closest_marker("spark") is not None


def _lacking():
    """Yield what is absent here: which tests need it, and what to say of them."""
    if SAMPLES not in os.environ:
        yield _of_samples, f"of {NEEDS_SAMPLES}: {SAMPLES} does not name the folder of VW's test/train-sets"
    if importlib.util.find_spec("pyspark") is None:
        yield _of_spark, "marked spark: pyspark is not installed; `make test-deep` installs it where Java is"
    elif shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        yield _of_spark, "marked spark: there is no Java; install version 17 or newer, or set JAVA_HOME"


@pytest.hookimpl(trylast=True)  # after -m and -k: only what would have run is named
def pytest_collection_modifyitems(config, items):
    """Take out the tests that need what is not there."""
    counts = config.stash.setdefault(_absent, {})
    for needs, why in _lacking():
        taken = [item for item in items if needs(item)]
        items[:] = [item for item in items if item not in taken]
        if taken:
            counts[why] = len(taken)
            config.hook.pytest_deselected(items=taken)


def pytest_terminal_summary(terminalreporter, config):
    """Say what was taken out, and how to have it run."""
    for why, count in config.stash.get(_absent, {}).items():
        terminalreporter.write_line(f"NOT RUN: {count} tests {why}", yellow=True)
