"""`ope diagnose` from the command line: the exact JSON, the table, the exit codes, and its documentation."""

import json
import re

import polars as pl
import pytest
from planted import PLANTED, changed, healthy
from typer.testing import CliRunner

from bandit.cli.ope import app
from bandit.cli.ope_diagnose import diagnose as command
from ope.diagnostics.checks.table import CODES
from ope.diagnostics.roles import ROLES
from ope.diagnostics.thresholds import THRESHOLDS

WHERE = ["file", "rows", "column", "action", "segment", "period", "policy"]


def run(*arguments):
    """Run `ope diagnose` in this process."""
    return CliRunner().invoke(app, ["diagnose", *map(str, arguments)])


@pytest.fixture
def log(tmp_path):
    """Return the path of a log in which a decision is repeated."""
    path = tmp_path / "log.parquet"
    changed("decision_id", "d-10", 12).write_parquet(path)
    return path


def test_exact_json(log):
    """The JSON has these keys in this order and no more, and nothing goes to stderr."""
    result = run(log, "--policy", "uniform", "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout, parse_constant=pytest.fail)
    assert list(report) == ["n", "files", "verdict", "findings", "unknown"]
    assert (report["n"], report["files"], report["verdict"]) == (4_000, [str(log)], "warn")
    for one in report["findings"]:
        assert list(one) == ["code", "severity", "value", "threshold", "says", "way_out", "where", "because"]
        assert list(one["where"]) == WHERE
    first = report["findings"][0]
    assert (first["code"], first["severity"], first["threshold"]) == ("duplicates", "warn", 0)
    assert first["value"] == pytest.approx(1 / 4_000)
    assert (first["where"]["file"], first["where"]["rows"]) == (str(log), [11, 12])
    assert {tuple(one) for one in report["unknown"]} == {("code", "why", "policy")}


def test_exit_codes(log):
    """0 below --fail-on, 1 at it or above, 2 for a question that cannot be asked."""
    assert run(log).exit_code == 0
    assert run(log, "--fail-on", "warn").exit_code == 1
    assert run(log, "--threshold", "duplicate_refuse=0").exit_code == 1
    changed("propensity", 0.0, 3).write_parquet(log)
    assert run(log).exit_code == 1
    assert run(log, "--fail-on", "refuse").exit_code == 1
    healthy().write_parquet(log)
    assert run(log, "--fail-on", "warn").exit_code == 0
    log.write_bytes(b"PAR1")
    assert run(log).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--policy", "greedy"],
        ["--threshold", "magic=1"],
        ["--threshold", "alpha"],
        ["--threshold", "alpha=-1"],
        ["--column", "colour=red"],
        ["--column", "at="],
        ["--column", "at=when"],
        ["--reward", "clicks"],
        ["--segment", "land"],
        ["--reward-range", "1,0"],
        ["--reward-range", "0"],
        ["--target-version", "linear_ts-1"],
        ["--window-s", "-1"],
        ["--fail-on", "ok"],
        ["--format", "xml"],
        ["missing.parquet"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(log, arguments):
    """A question that cannot be asked ends with 2, nothing on stdout and the reason on stderr."""
    result = run(log, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_policies_that_need_a_column_exit_2(log):
    """Uniform needs the number of actions, fixed the action."""
    healthy().select("propensity", "reward").write_parquet(log)
    for policy, says in (("uniform", "neither a distribution nor n_actions"), ("fixed:a", "no column 'action'")):
        result = run(log, "--policy", policy)
        assert result.exit_code == 2
        assert says in result.stderr


def test_options_reach_the_lint(log):
    """Columns, segments, range, window and version do what they say."""
    foreign = healthy().rename({"reward": "click", "propensity": "p", "action": "arm", "at": "t"})
    foreign.with_columns(click=pl.when(pl.int_range(pl.len()) < 3_990).then("click")).write_parquet(log)
    names = ["--reward", "click", "--propensity", "p", "--column", "action=arm", "--column", "at=t"]
    more = ["--segment", "country", "--reward-range", "0,0.5", "--window-s", "900", "--target-version", "line-1@600"]
    report = json.loads(run(log, *names, *more, "--policy", "uniform", "--format", "json").stdout)
    found = {one["code"]: one for one in report["findings"]}
    assert found["reward_range"]["value"] > 1_000
    assert found["rewards_immature"]["value"] == 10
    assert found["rewards_immature"]["where"]["period"] == "from 1970-01-03T18:24:00+00:00 on"
    assert found["overlap"]["value"] == pytest.approx(100 / 4_000)
    assert found["segment_ess"]["where"]["segment"].startswith("country=")
    assert [one["code"] for one in report["unknown"]] == []


def test_the_table_is_the_default(log):
    """Worst first: severity, code, numbers, rows, meaning and way out; then what passed and what is unknown."""
    changed("decision_id", "d-10", 12).with_columns(loop=pl.col("country")).write_parquet(log)
    text = run(log, "--policy", "uniform").stdout
    flat = re.sub(r"\s+", " ", text)
    assert flat.startswith("4,000 rows of")
    assert "The log should not be judged as it is." in flat
    assert flat.index("refuse mixed_loops") < flat.index("warn duplicates") < flat.index("Passed")
    assert "warn duplicates 0.00025 (limit 0)" in flat
    assert "rows 11, 12" in flat
    assert "→ Write each decision once" in flat
    assert flat.index("Passed") < flat.index("ess of uniform: ") < flat.index("Not known from this log")
    assert max(map(len, text.splitlines())) <= 80


def test_brackets_of_a_log_are_printed(log):
    """An id or a column is printed as it is, never read as markup."""
    log_with = healthy().with_columns(loop=pl.when(pl.int_range(pl.len()) > 9).then(pl.lit("[red]x")).otherwise("loop"))
    log_with.write_parquet(log)
    assert "[red]x" in run(log).stdout


def test_every_finding_and_threshold_is_documented(request):
    """Each code, threshold with its value, role and option has its row in the reference."""
    page = (request.config.rootpath / "docs/reference/diagnostics.md").read_text()
    assert [code for code in CODES if not re.search(rf"^\| `{code}` \|", page, re.MULTILINE)] == []
    assert [
        one.name for one in THRESHOLDS if not re.search(rf"^\| `{one.name}` \| {one.value:g} \|", page, re.MULTILINE)
    ] == []
    assert [role for role in ROLES if f"`{role}`" not in page] == []
    help_text = CliRunner().invoke(app, ["diagnose", "--help"], env={"COLUMNS": "200"}).stdout
    renamed = {"output": "format", "rewards_in": "reward-range", "log_format": "from"}
    for name in command.__kwdefaults__:
        option = "--" + renamed.get(name, name).replace("_", "-")
        assert f"`{option}`" in page
        assert option in help_text


def test_every_planted_fault_reaches_the_command_line(tmp_path):
    """The command gives the code that the library gives, as JSON, for a fault of each severity."""
    path = tmp_path / "log.parquet"
    for code in ("propensity_constant", "weight_tail"):
        planted = next(one for one in PLANTED if one.code == code)
        planted.log().write_parquet(path)
        policy = ["--policy", planted.policy] if planted.policy else []
        report = json.loads(run(path, *policy, "--format", "json").stdout)
        assert report["findings"][0]["code"] == code
