"""The histogram of weights: bins that add up to all rows and all weight, on every engine."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ope.evaluate import evaluate_files, evaluate_frame
from ope.question import Question
from ope.weight_bins import PER_DECADE, as_bins, edge

WEIGHTS = np.array([0.0, 0.0, 0.5, 1.0, 1.01, 3.0, 40.0])
LOG = {"reward": np.ones(7), "propensity": np.full(7, 0.02), "target_propensity": 0.02 * WEIGHTS}


def binned(log):
    """Return the histogram of a log."""
    return evaluate_frame(log, Question(weights=True))["columns"].weights


@pytest.mark.parametrize("engine", [pl.DataFrame, pd.DataFrame, lambda log: pl.DataFrame(log).lazy()])
def test_every_row_is_in_its_bin(engine):
    """Zeros are counted alone, each other weight lies between its bin's edges, and gaps are bins of nothing."""
    found = binned(engine(LOG))
    assert found.zero == 2
    assert sum(one.rows for one in found.bins) == 5
    assert sum(one.mass for one in found.bins) == pytest.approx(WEIGHTS.sum())
    for one in found.bins:
        inside = WEIGHTS[(one.low * (1 - 1e-9) <= WEIGHTS) & (one.high * (1 - 1e-9) > WEIGHTS)]
        assert (one.rows, one.mass) == (len(inside), pytest.approx(inside.sum()))
    assert [one.high for one in found.bins[:-1]] == [one.low for one in found.bins[1:]]


def test_bins_are_the_same_for_every_log():
    """A decade has so many bins of equal ratio, and 1 is an edge."""
    assert edge(400 * PER_DECADE) == 1.0
    assert edge(401 * PER_DECADE) == pytest.approx(10.0)


def test_row_weights_count_in_the_mass():
    """A row that stands for four decisions carries four times its weight."""
    log = LOG | {"row_weight": np.array([1, 1, 1, 1, 1, 1, 4.0])}
    found = binned(pl.DataFrame(log))
    assert found.bins[-1].mass / found.bins[0].mass == pytest.approx(4 * 40 / 0.5)


def test_several_files_add_up(tmp_path):
    """The bins of two files are those of one."""
    for name, rows in (("a", slice(0, 4)), ("b", slice(4, 7))):
        pl.DataFrame({column: values[rows] for column, values in LOG.items()}).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    found = evaluate_files([tmp_path / "a.parquet", tmp_path / "b.parquet"], Question(weights=True))["columns"].weights
    assert found == binned(pl.DataFrame(LOG))


def test_nothing_is_counted_unless_it_is_asked_for():
    """The pass is saved, and a log of zeros has no bins."""
    assert evaluate_frame(pl.DataFrame(LOG))["columns"].weights is None
    assert as_bins({-1: (3, 0.0)}).bins == ()
