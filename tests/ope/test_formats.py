"""The same log in any format gives the same numbers."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from bandit.export import SCHEMA
from ope.errors import InvalidLog
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question
from ope.report.exact_json import report_as_json

RNG = np.random.default_rng(5)
N = 400
LOG = pl.DataFrame(
    {
        "reward": RNG.binomial(1, 0.3, N).astype(float) * RNG.choice([1.0, 0.5], N),
        "propensity": RNG.uniform(0.01, 1, N),
        "target_propensity": RNG.uniform(0, 1, N),
        "q_logged": RNG.normal(size=N),
        "q_target": RNG.normal(size=N),
        "action": RNG.choice(["a", "b"], N),
    }
)
EXPORT = LOG.drop("target_propensity", "q_logged", "q_target").with_columns(
    distribution=pl.Series([[{"action": "b", "propensity": 1.0}, {"action": "a", "propensity": 0.0}]] * N),
    predicted_rewards=pl.Series([[1.0, 0.25]] * N),
)
WRITERS = {
    "log.parquet": pl.DataFrame.write_parquet,
    "log.pq": pl.DataFrame.write_parquet,
    "log.csv": pl.DataFrame.write_csv,
    "log.ndjson": pl.DataFrame.write_ndjson,
    "LOG.JSONL": pl.DataFrame.write_ndjson,
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats_agree(tmp_path, name):
    """Parquet, CSV and NDJSON carry every digit."""
    WRITERS[name](LOG, tmp_path / name)
    found = report_as_json(evaluate_files([tmp_path / name]))
    expected = report_as_json(evaluate_frame(LOG))
    assert found["diagnostics"]["ess"] == pytest.approx(expected["diagnostics"]["ess"], rel=1e-12)
    for one, other in zip(found["estimates"], expected["estimates"], strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=1e-12)
        assert one["interval"] == pytest.approx(other["interval"], rel=1e-12)


@pytest.mark.parametrize("name", ["log.parquet", "log.ndjson"])
def test_exports_agree(tmp_path, name):
    """A nested export is scored alike from Parquet and NDJSON."""
    WRITERS[name](EXPORT, tmp_path / name)
    found = report_as_json(evaluate_files([tmp_path / name], Question(policies=["uniform"])))
    assert [one["estimator"] for one in found["estimates"]] == [
        *["ips", "snips", "dm", "dr", "sndr", "beta_ips", "clipped_ips", "switch_dr", "dros"]
    ]
    assert found["diagnostics"]["support_deficit"] == 0.5
    assert found["estimates"][2]["value"] == pytest.approx(0.625)


@pytest.mark.parametrize("predicted", [[0.25, 0.75], None])
def test_what_export_writes_is_what_evaluate_reads(tmp_path, predicted):
    """The export's own schema is enough for every policy, with and without predictions."""
    path = tmp_path / "export.parquet"
    pair = [{"action": "a", "propensity": 0.5}, {"action": "b", "propensity": 0.5}]
    row = dict.fromkeys(SCHEMA) | {"action": "a", "propensity": 0.5, "reward": 1.0}
    rows = [row | {"distribution": pair, "predicted_rewards": predicted}] * 3
    pq.write_table(pl.DataFrame(rows, schema=SCHEMA).to_arrow(), path, compression="zstd")
    report = evaluate_files([path], Question(policies=["uniform", "logged", "fixed:a", "fixed:b"]))
    values = {name: one.estimates[0].value for name, one in report.items()}
    assert values == {"uniform": 1.0, "logged": 1.0, "fixed:a": 2.0, "fixed:b": 0.0}
    assert {len(one.estimates) for one in report.values()} == {9 if predicted else 4}
    assert {one.diagnostics.support_deficit for one in report.values()} == {0.0}


def test_unsettled_decisions_are_refused(tmp_path):
    """A reward that is not settled is not 0: the row is named, with what to do."""
    path = tmp_path / "export.parquet"
    LOG.with_columns(reward=pl.when(pl.int_range(N) != 9).then("reward")).write_parquet(path)
    with pytest.raises(InvalidLog, match=r"row 10: reward is None; .*Say how open decisions count with --unres"):
        evaluate_files([path])


def test_files_are_one_log(tmp_path):
    """Several files, of different formats even, are one log."""
    LOG[:150].write_parquet(tmp_path / "a.parquet")
    LOG[150:].select(reversed(LOG.columns)).write_csv(tmp_path / "b.csv")
    found = report_as_json(evaluate_files([tmp_path / "a.parquet", tmp_path / "b.csv"]))
    expected = report_as_json(evaluate_frame(LOG))
    assert found["n"] == N
    for one, other in zip(found["estimates"], expected["estimates"], strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=1e-12)
        assert one["stderr"] == pytest.approx(other["stderr"], rel=1e-11)


def test_files_with_fewer_columns_allow_fewer_estimators(tmp_path):
    """What one file lacks, the whole log lacks."""
    LOG[:150].write_parquet(tmp_path / "a.parquet")
    LOG[150:].drop("q_logged", "q_target").write_parquet(tmp_path / "b.parquet")
    report = evaluate_files([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert [one.estimator for one in report["columns"].estimates] == ["ips", "snips", "beta_ips", "clipped_ips"]


def test_whole_numbers_before_fractions(tmp_path):
    """A reward column that starts with 20,000 whole numbers may still hold a half."""
    path = tmp_path / "log.ndjson"
    row = '{"reward": %s, "propensity": 1, "target_propensity": 1}\n'
    path.write_text(row % 0 * 20_000 + row % 0.5)
    assert evaluate_files([path])["columns"].estimates[0].value == pytest.approx(0.5 / 20_001)


def test_file_names_are_names(tmp_path):
    """Brackets and stars in a file name are not patterns, and a folder called a=b is no column."""
    folder = tmp_path / "reward=3"
    folder.mkdir()
    path = folder / "log[1]*.parquet"
    LOG.write_parquet(path)
    assert evaluate_files([str(path)])["columns"].n == N


def test_column_options_in_every_format(tmp_path):
    """Columns may have any name in any format."""
    columns = Columns("r", "p log", "p-target", "q", "v")
    renamed = LOG.rename(dict(zip(LOG.columns[:5], ["r", "p log", "p-target", "q", "v"], strict=True)))
    expected = report_as_json(evaluate_frame(LOG))["estimates"][3]["value"]
    for name in ("log.parquet", "log.csv", "log.ndjson"):
        WRITERS[name](renamed, tmp_path / name)
        found = report_as_json(evaluate_files([tmp_path / name], Question(columns=columns)))
        assert found["estimates"][3]["value"] == pytest.approx(expected, rel=1e-12)
