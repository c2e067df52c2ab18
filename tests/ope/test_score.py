"""`ope score`: what a policy would have done, as columns that give the same numbers on every engine."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.evaluate import evaluate_files
from ope.frames import Columns
from ope.question import Question

RNG = np.random.default_rng(8)
N = 400


def exported(n=N, *, predicted=True):
    """Return a log as an export has it: distributions over three actions, some of them never drawn."""
    chances = RNG.dirichlet(np.ones(3), n).round(3) * (RNG.random((n, 3)) > 0.2)
    chances[:, 0] += 0.1
    chances /= chances.sum(1, keepdims=True)
    place = [RNG.choice(3, p=p) for p in chances]
    log = {
        "action": ["abc"[i] for i in place],
        "propensity": [p[i] for p, i in zip(chances, place, strict=True)],
        "reward": RNG.random(n),
        "distribution": [[{"action": "abc"[i], "propensity": float(p[i])} for i in range(3)] for p in chances],
        "kind": ["even" if i < 2 else "odd" for i in place],
    }
    return pl.DataFrame(log | ({"predicted_rewards": RNG.random((n, 3)).tolist()} if predicted else {}))


def score(*arguments):
    """Run `ope score` in this process."""
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def numbers(evaluation):
    """Return everything that is estimated and diagnosed."""
    of = evaluation.diagnostics
    diagnosed = [of.ess, of.max_weight, of.mean_weight, of.mean_weight_z]
    return [number for one in evaluation.estimates for number in (one.value, one.stderr)] + diagnosed


@pytest.mark.parametrize("policy", ["uniform", "logged", "fixed:b"])
@pytest.mark.parametrize("engine", ["polars", "duckdb", "pandas"])
def test_scored_rows_give_the_same_numbers(tmp_path, policy, engine):
    """Estimates, errors and diagnostics, what is off support included, to 1e-10."""
    log, out = tmp_path / "log.parquet", tmp_path / "rows.parquet"
    exported().write_parquet(log)
    done = score(log, "--policy", policy, "--out", out)
    assert (done.exit_code, done.stdout) == (0, f"{out}: 400 rows\n")
    expected = evaluate_files([log], Question(policies=[policy], estimators=["ips", "dr", "clipped_snips"]))[policy]
    asked = Question(estimators=["ips", "dr", "clipped_snips"], engine=engine)
    found = evaluate_files([out], asked)["columns"]
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-10)
    assert found.diagnostics.support_deficit == pytest.approx(expected.diagnostics.support_deficit, rel=1e-10)


def test_rows_without_predictions_are_still_told_apart(tmp_path):
    """A missing prediction is noted, not refused, as it is before."""
    log, out = tmp_path / "log.parquet", tmp_path / "rows.parquet"
    some = exported().with_columns(predicted_rewards=pl.when(pl.int_range(pl.len()) > 2).then("predicted_rewards"))
    some.write_parquet(log)
    assert score(log, "--policy", "uniform", "--out", out).exit_code == 0
    found = evaluate_files([out], Question(engine="duckdb"))["columns"]
    assert found.notes == evaluate_files([log], Question(policies=["uniform"]))["uniform"].notes
    assert "predicted_rewards is null in 3 of 400 rows" in found.notes[0]


def test_columns_of_other_names_and_formats_come_out_canonical(tmp_path, mixed_log):
    """Without a policy: what was named, from text too, several files after one another."""
    names = {"reward": "click", "propensity": "p", "target_propensity": "t"}
    first, second, out = (tmp_path / name for name in ("a.csv", "b.parquet", "rows.parquet"))
    mixed_log.rename(names)[:1000].write_csv(first)
    mixed_log.rename(names)[1000:].write_parquet(second)
    options = [word for name, column in names.items() for word in ("--" + name.replace("_", "-"), column)]
    assert score(first, second, *options, "--logger", "logger", "--out", out).exit_code == 0
    assert pl.read_parquet(out).equals(mixed_log.select(pl.read_parquet(out).columns))
    asked = Question(columns=Columns(logger="logger"), estimators=["weighted_ips", "balanced_dr"], engine="duckdb")
    expected = Question(columns=Columns(logger="logger"), estimators=["weighted_ips", "balanced_dr"])
    mixed_log.write_parquet(tmp_path / "all.parquet")
    assert numbers(evaluate_files([out], asked)["columns"]) == pytest.approx(
        numbers(evaluate_files([tmp_path / "all.parquet"], expected)["columns"]), rel=1e-10
    )


def test_categories_are_scored_too(tmp_path):
    """MIPS's propensities are those of the categories."""
    log, out = tmp_path / "log.parquet", tmp_path / "rows.parquet"
    exported().write_parquet(log)
    assert score(log, "--policy", "uniform", "--embedding", "kind", "--out", out).exit_code == 0
    columns = Columns(embedding="kind")
    expected = evaluate_files([log], Question(policies=["uniform"], columns=columns, estimators=["ips"]))["uniform"]
    found = evaluate_files([out], Question(estimators=["ips"], engine="duckdb"))["columns"]
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-10)


def test_a_bad_row_is_refused_where_it_is_evaluated(tmp_path):
    """With its number, which is that of the log."""
    log, out = tmp_path / "log.parquet", tmp_path / "rows.parquet"
    broken = pl.when(pl.int_range(pl.len()) == 5).then(0.0).otherwise("propensity")
    exported().with_columns(propensity=broken).write_parquet(log)
    assert score(log, "--policy", "uniform", "--out", out).exit_code == 0
    refused = CliRunner().invoke(app, ["evaluate", str(out), "--engine", "duckdb"])
    assert refused.exit_code == 1
    assert "row 6: propensity is 0.0" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--policy", "fixed:z"], 2, "action 'z' never occurs in the log. Its actions are a, b, c."),
        (["--policy", "magic"], 2, "unknown policy 'magic'"),
        ([], 2, "there is no column 'target_propensity'"),
        (["--policy", "uniform", "--out", "no/such/folder.parquet"], 2, "name a file in a folder that exists"),
    ],
)
def test_what_cannot_be_scored_leaves_the_old_file(tmp_path, arguments, code, says):
    """An error says why, and nothing is half written."""
    log, out = tmp_path / "log.parquet", tmp_path / "rows.parquet"
    exported().write_parquet(log)
    out.write_text("old")
    done = score(log, "--out", out, *arguments)
    assert (done.exit_code, out.read_text()) == (code, "old")
    assert says in done.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"log.parquet", "rows.parquet"}


def test_a_file_that_breaks_halfway_leaves_nothing(tmp_path):
    """A line that is no JSON, far down, is met while rows are being written."""
    log, out = tmp_path / "log.ndjson", tmp_path / "rows.parquet"
    good = json.dumps({"reward": 1.0, "propensity": 0.5, "target_propensity": 0.5})
    log.write_text(f"{good}\n" * 20_000 + good[:-9])
    done = score(log, "--out", out)
    assert done.exit_code == 1
    assert f"{log}: cannot be read: " in done.stderr
    assert list(tmp_path.iterdir()) == [log]
