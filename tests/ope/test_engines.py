"""The sums are written once: every engine gives the same numbers, the same refusals and the same rows."""

import sys
from importlib.util import find_spec

import duckdb
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.engines import table
from ope.engines.table import ENGINES
from ope.engines.trouble import trouble
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question

HERE = [name for name in ENGINES if name != "pyspark"]
"""Spark has a suite of its own, since it needs Java: test_spark.py."""

OTHERS = [name for name in HERE if name != "polars"]
"""What is compared with polars, which test_references.py compares with numpy."""


@pytest.fixture
def path(tmp_path, mixed_log):
    """A Parquet file in a folder and with a name that engines would take for a partition and a pattern."""
    folder = tmp_path / "loop=a"
    folder.mkdir()
    mixed_log.write_parquet(folder / "log[1].parquet", row_group_size=700)
    (folder / "log1.parquet").write_bytes(b"what the pattern would find")
    return folder / "log[1].parquet"


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("named", [{}, {"logger": "logger"}], ids=["one logger", "several loggers"])
def test_engines_agree_on_files(path, agree, engine, named):
    """Every estimator, error and diagnostic that an engine gives is that of polars to 1e-10."""
    agree(path, engine, columns=Columns(**named))


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("interval", ["normal", "cressie_read"])
def test_parts_differences_and_their_intervals_agree(path, engine, interval):
    """What sums can tell, any engine tells: of segments, of a difference, and of intervals that are made of sums."""
    asked = {"segments": ["logger"], "against": "logged", "estimators": ["ips", "sndr"], "reward_range": (-99, 99)}
    found, expected = (
        evaluate_files([path], Question(engine=one, interval=interval, largest_weight=400.0, **asked))["columns"]
        for one in (engine, "polars")
    )

    def told(one):
        return [number for x in (*one.estimates, *one.against.estimates) for number in (x.value, *x.interval)]

    assert [told(part.evaluation) for part in found.parts] == [
        pytest.approx(told(part.evaluation), rel=1e-10, nan_ok=True) for part in expected.parts
    ]
    assert told(found) == pytest.approx(told(expected), rel=1e-10, nan_ok=True)
    assert [part.value for part in found.parts] == ["old", "v1.2"]


@pytest.mark.parametrize("engine", OTHERS)
def test_row_weights_on_every_engine(path, agree, engine, mixed_log):
    """Rows that stand for several decisions do so on every engine."""
    mixed_log.with_columns(row_weight=pl.Series(np.tile([1.0, 3.0], mixed_log.height // 2))).write_parquet(path)
    agree(path, engine)


@pytest.mark.parametrize("engine", OTHERS)
def test_actions_that_are_numbers_on_every_engine(path, agree, engine, mixed_log):
    """Kernel weights are expressions like any other."""
    columns = Columns(target_action="target")
    mixed_log.with_columns(action=pl.col("q_logged"), target=pl.col("q_target")).write_parquet(path)
    agree(path, engine, columns=columns, bandwidth=1.5)


@pytest.mark.parametrize("engine", HERE)
def test_bad_rows_have_their_numbers_on_every_engine(path, breaches_are_named, engine):
    """The first broken row is named with its number, though SQL engines keep no order; all are listed on request."""
    breaches_are_named(path, engine)


@pytest.mark.parametrize("frame", ["relation", "table"])
def test_a_relation_of_duckdb_is_a_frame(mixed_log, frame):
    """What somebody has open in DuckDB is judged where it is; `all` leaves out what needs an order, and says so."""
    connection = duckdb.connect()
    connection.register("log", mixed_log.to_arrow())
    connection.execute("CREATE TABLE kept AS SELECT * FROM log")
    relation = connection.table("kept") if frame == "table" else connection.sql("SELECT * FROM log WHERE true")
    found = evaluate_frame(relation, Question(estimators=["all"]))["columns"]
    expected = evaluate_frame(mixed_log, Question(estimators=["all"]))["columns"]
    assert found.notes[0] == "left out replay: duckdb keeps rows in no order"
    assert [one.value for one in found.estimates] == pytest.approx(
        [one.value for one in expected.estimates if one.estimator != "replay"], rel=1e-10
    )


def test_what_duckdb_cannot_answer_says_what_can(path, mixed_log):
    """Folds need an order, policies are scored in polars, and only Parquet is read: each error has the way out."""
    on_duckdb = {"engine": "duckdb"}
    with pytest.raises(InvalidRequest, match=r"replay goes .* duckdb keeps rows in no order\. Choose --engine polars"):
        evaluate_files([path], Question(estimators=["replay"], **on_duckdb))
    with pytest.raises(InvalidRequest, match=r"eb_mixture goes through .* duckdb keeps rows in no order"):
        evaluate_files([path], Question(interval="eb_mixture", reward_range=(-99, 99), **on_duckdb))
    with pytest.raises(InvalidRequest, match=r"not in duckdb\. Write its propensities first \(honeyguide ope score"):
        evaluate_files([path], Question(policies=["logged"], **on_duckdb))
    text = path.with_name("log.csv")
    mixed_log.write_csv(text)
    with pytest.raises(InvalidRequest, match=r"reads Parquet, and this is csv\. .*: honeyguide ope score .*log\.csv"):
        evaluate_files([text], Question(**on_duckdb))


def test_pandas_reads_what_polars_reads(path, mixed_log):
    """Every format, and policies too, since polars opens the file and pandas adds it up."""
    text = path.with_name("log.csv")
    mixed_log.with_columns(n_actions=pl.lit(4)).write_csv(text)
    found, expected = (
        evaluate_files([text], Question(policies=["uniform"], engine=engine))["uniform"]
        for engine in ("pandas", "polars")
    )
    assert [one.value for one in found.estimates] == pytest.approx([one.value for one in expected.estimates], rel=1e-10)


def test_a_column_that_is_not_there_lists_the_file_s(path, mixed_log):
    """The number of a row is no column of the file."""
    mixed_log.drop("reward").write_parquet(path)
    with pytest.raises(InvalidRequest, match="no column 'reward'; it has propensity, ") as caught:
        evaluate_files([path], Question(engine="duckdb"))
    assert "honeyguide: line" not in str(caught.value)


@pytest.mark.parametrize(("name", "extra"), [("duckdb", "duckdb"), ("pyspark", "spark")])
def test_a_missing_engine_names_its_extra(path, monkeypatch, name, extra):
    """An engine that is not installed is a wrong question: exit 2, and how to install it."""
    monkeypatch.setattr(table, "find_spec", lambda package: None if package == name else find_spec(package))
    result = CliRunner().invoke(app, ["evaluate", str(path), "--engine", name])
    assert result.exit_code == 2
    assert f"--engine {name}: the package {name} is not installed" in result.stderr
    assert f"pip install 'honeyguide[{extra}]'" in result.stderr


def test_an_unknown_engine_is_refused(path):
    """With the engines that there are."""
    result = CliRunner().invoke(app, ["evaluate", str(path), "--engine", "excel"])
    assert result.exit_code == 2
    assert "no such engine. The engines are polars, pandas, duckdb, pyspark" in result.stderr


def test_the_command_reads_with_an_engine(path):
    """`--engine` reaches the evaluation: what only polars does is refused."""
    assert CliRunner().invoke(app, ["evaluate", str(path), "--engine", "duckdb"]).exit_code == 0
    refused = CliRunner().invoke(app, ["evaluate", str(path), "--engine", "duckdb", "--estimators", "replay"])
    assert refused.exit_code == 2


def test_what_an_engine_raises_is_an_error_of_ours(path, monkeypatch):
    """A file that breaks while DuckDB reads it is named; engines that nobody loaded are not looked at."""
    good = path.read_bytes()
    at = len(good) // 3
    path.write_bytes(good[:at] + bytes(len(good) // 3) + good[2 * at :])
    with pytest.raises(InvalidLog, match=r"log\[1\]\.parquet: cannot be read: "):
        evaluate_files([path], Question(engine="duckdb"))
    assert duckdb.Error in trouble()
    monkeypatch.delitem(sys.modules, "duckdb")
    assert duckdb.Error not in trouble()
