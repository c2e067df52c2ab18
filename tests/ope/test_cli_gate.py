"""`ope gate` from the command line: the exact JSON, the table, the exit codes, and its documentation."""

import json
import re
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest
import typer
from planted import changed, healthy
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.gate.config import Gate
from ope.gate.groups import FEW_ROWS, OF_THE_LOG, ROWS
from ope.gate.verdict import Evidence, Lift

BETTER = ("--policy", "fixed:d", "--reward-range", "0,1")
PAGE = (Path(__file__).parents[2] / "docs/reference/gate.md").read_text()


def run(*arguments):
    """Run `ope gate` in this process."""
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


@pytest.fixture
def log(tmp_path):
    """Return the path of a healthy log."""
    path = tmp_path / "log.parquet"
    healthy().write_parquet(path)
    return path


def test_exact_json(log):
    """The JSON has these keys in this order and no more, and nothing goes to stderr."""
    result = run(log, *BETTER, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    keys = ["verdict", "rules", "lift", "more", "diagnostics", "findings", "unknown", "evidence", "config"]
    assert list(told) == keys
    assert told["verdict"] == "promote"
    for one in told["rules"]:
        assert list(one) == ["name", "holds", "otherwise", "value", "threshold", "says", "way_out", "because"]
    assert list(told["lift"]) == [field.name for field in fields(Lift)]
    assert list(told["evidence"]) == [field.name for field in fields(Evidence)]
    assert told["evidence"]["last_at"] == "1970-01-03T18:39:00+00:00"
    assert list(told["config"]) == [*(field.name for field in fields(Gate)), "sha256"]
    assert set(told["diagnostics"]) == {"ess", "max_weight", "mean_weight", "mean_weight_z", "support_deficit"}


def test_exit_codes(log):
    """0 promotes, 1 holds or refuses, 2 is what cannot be asked."""
    assert run(log, *BETTER).exit_code == 0
    assert run(log, *BETTER, "--margin", "0.3").exit_code == 1
    assert run(log, *BETTER, "--margin", "2").exit_code == 2
    assert run(log, "--reward-range", "0,1").exit_code == 2
    assert run(log, "--policy", "fixed:d").exit_code == 2
    assert run(log.with_name("none.parquet"), *BETTER).exit_code == 2
    changed("propensity", 0.0, 5).write_parquet(log)
    assert run(log, *BETTER).exit_code == 1
    log.write_bytes(b"PAR1")
    refused = run(log, *BETTER, "--format", "json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["verdict"] == "refuse"


def test_the_table_reads(log):
    """The verdict comes first, each rule has its row, and what does not hold says what to do."""
    held = run(log, "--policy", "fixed:a", "--reward-range", "0,1").stdout
    assert re.match(r"\s*HOLD  fixed:a against the policy that logged", held)
    assert "→ Give this candidate up" in held
    for name in ("rows", "overlap", "lift"):
        assert re.search(rf"^\s+{name} +(holds|hold) ", held, re.MULTILINE)
    changed("propensity", 0.0, 5).write_parquet(log)
    refused = run(log, *BETTER).stdout
    assert re.match(r"\s*REFUSE", refused)
    assert "propensity_zero" in refused


def test_files_are_one_log_in_any_order(log, tmp_path):
    """Two halves, the later first, give the verdict of the whole."""
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    healthy().head(1_500).write_parquet(first)
    healthy().tail(2_500).write_parquet(second)
    whole, halves = (json.loads(run(*files, *BETTER, "--format", "json").stdout) for files in ([log], [second, first]))
    assert halves["lift"] == whole["lift"]
    assert halves["evidence"]["rows"] == whole["evidence"]["rows"]


def test_other_names_and_formats(tmp_path):
    """A CSV with names of its own, a target in a column, and a declaration that it was trained elsewhere."""
    path = tmp_path / "log.csv"
    log = healthy().select(
        clicked="reward", p="propensity", q=(pl.col("action") == "d").cast(pl.Float64), when="at", id="decision_id"
    )
    log.write_csv(path)
    columns = ["--reward", "clicked", "--propensity", "p", "--target-propensity", "q", "--column", "at=when"]
    columns += ["--column", "decision_id=id", "--reward-range", "0,1", "--format", "json"]
    assert json.loads(run(path, *columns).stdout)["verdict"] == "refuse"
    told = json.loads(run(path, *columns, "--trained-elsewhere").stdout)
    assert (told["verdict"], told["evidence"]["last_id"]) == ("promote", "d-3999")


@pytest.mark.parametrize("command", ["gate", "power"])
def test_every_option_is_documented(command):
    """Each option has a row in the reference, and no other has."""
    group = typer.main.get_command(app)
    parameters = group.commands[command].params
    options = {one for parameter in parameters for one in parameter.opts if one.startswith("--")} - {"--help"}
    heading = f"## `honeyguide ope {command} FILE…`"
    section = PAGE.split(heading)[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(--[\w-]+)`", section, re.MULTILINE)) == options


def test_every_rule_and_key_is_documented():
    """Each rule has a row that names the findings behind it; each key of the JSON stands in the page."""
    for group in (ROWS, *OF_THE_LOG, FEW_ROWS):
        [row] = re.findall(rf"^\| `{group.name}` \|.*$", PAGE, re.MULTILINE)
        assert [code for code in group.codes if f"`{code}`" not in row] == []
        assert f"| {group.otherwise} |" in row
    rules = [*(group.name for group in (ROWS, *OF_THE_LOG, FEW_ROWS)), "overlap", "order", "outcomes", "ess", "lift"]
    table = PAGE.split("## Rules")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(rules)
    keys = {field.name for kind in (Lift, Evidence, Gate) for field in fields(kind)}
    assert [key for key in sorted(keys) if not re.search(rf"[`\"]{key}[`\"]", PAGE)] == []
