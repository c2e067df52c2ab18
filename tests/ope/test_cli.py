"""`ope evaluate` from the command line: the exact JSON, the table, and the exit codes."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from bandit.cli.ope import evaluate as command
from ope.estimators.table import ESTIMATORS

LOG = pl.DataFrame(
    {
        "reward": [1.0, 0.0, 1.0, 0.0],
        "propensity": [0.5, 0.5, 0.25, 1.0],
        "target_propensity": [1.0, 0.5, 0.5, 0.0],
        "action": ["a", "b", "a", "b"],
        "n_actions": [2, 2, 4, 2],
    }
)


@pytest.fixture
def log(tmp_path):
    """Return the path of a small log."""
    path = tmp_path / "log.parquet"
    LOG.write_parquet(path)
    return str(path)


def run(*arguments):
    """Run `ope evaluate` in this process."""
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_exact_json_of_one_target(log):
    """One target prints n, estimates and diagnostics, with these keys in this order, and no more."""
    result = run(log, "--format", "json")
    assert (result.exit_code, result.stderr) == (
        0,
        "columns: clipped_ips: slope chose the plain weights of 13 candidates\n",
    )
    report = json.loads(result.stdout)
    assert list(report) == ["n", "estimates", "diagnostics"]
    assert list(report["diagnostics"]) == ["ess", "max_weight", "mean_weight", "mean_weight_z", "support_deficit"]
    assert [one["estimator"] for one in report["estimates"]] == ["ips", "snips", "beta_ips", "clipped_ips"]
    for one in report["estimates"]:
        assert list(one) == ["estimator", "value", "stderr", "interval", "level", "method"]
        assert (one["level"], one["method"], len(one["interval"])) == (0.95, "normal", 2)
    assert report["estimates"][0]["value"] == pytest.approx(1.0)
    assert report["diagnostics"]["support_deficit"] is None


def test_exact_json_of_several_policies(log):
    """Several policies stand by name under one key; a single one prints the plain shape."""
    several = json.loads(run(log, "--policy", "uniform", "--policy", "fixed:a", "--format", "json").stdout)
    assert list(several) == ["policies"]
    assert list(several["policies"]) == ["uniform", "fixed:a"]
    assert several["policies"]["uniform"] == json.loads(run(log, "--policy", "uniform", "--format", "json").stdout)


def test_non_finite_numbers_are_null(log):
    """No NaN or infinity reaches the JSON, which stays valid for strict readers."""
    pl.read_parquet(log).head(1).write_parquet(log)
    text = run(log, "--format", "json").stdout
    report = json.loads(text, parse_constant=pytest.fail)
    assert report["estimates"][0]["stderr"] is None


def test_table_is_the_default(log):
    """The table names each policy, estimator and diagnostic, and fits 80 columns."""
    result = run(log, "--policy", "uniform", "--policy", "fixed:a")
    assert result.exit_code == 0
    assert "Off-policy evaluation of 4 logged decisions" in result.stdout
    for word in ("uniform", "fixed:a", "ips", "snips", "95% interval", "max weight", "unknown"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_brackets_in_an_action_id_are_printed(log):
    """An id is printed as it is, never read as markup."""
    LOG.with_columns(action=pl.lit("[red]a")).write_parquet(log)
    assert "fixed:[red]a" in run(log, "--policy", "fixed:[red]a").stdout


def test_options_reach_the_evaluation(log):
    """--estimators, --level and the column options do what they say."""
    LOG.rename({"reward": "click", "propensity": "p", "target_propensity": "t"}).write_parquet(log)
    names = ["--reward", "click", "--propensity", "p", "--target-propensity", "t"]
    report = json.loads(run(log, *names, "--estimators", "snips, ips", "--level", "0.5", "--format", "json").stdout)
    assert [one["estimator"] for one in report["estimates"]] == ["snips", "ips"]
    assert report["estimates"][0]["level"] == 0.5
    named = LOG.with_columns(m=pl.lit(0.5), v=pl.lit(0.25))
    named.write_parquet(log)
    report = json.loads(run(log, "--q-logged", "m", "--q-target", "v", "--format", "json").stdout)
    assert report["estimates"][2]["value"] == pytest.approx(0.25)


def test_notes_go_to_stderr_beside_json(log):
    """What was left out is said, without spoiling the JSON."""
    export = LOG.with_columns(
        distribution=pl.Series([[{"action": "a", "propensity": 0.5}, {"action": "b", "propensity": 0.5}]] * 4),
        predicted_rewards=pl.Series([[0.5, 0.5], None, None, None]),
    )
    export.write_parquet(log)
    some = ["--policy", "uniform", "--max-weight", "2"]
    result = run(log, *some, "--format", "json")
    assert json.loads(result.stdout)["n"] == 4
    assert (
        result.stderr == "uniform: left out dm, dr, sndr, switch_dr, dros: predicted_rewards is null in 3 of 4 rows\n"
    )
    assert "left out dm, dr" in run(log, *some).stdout


def test_invalid_rows_exit_1(log):
    """A bad row ends the command with 1 and one line on stderr."""
    LOG.with_columns(propensity=pl.lit(0.0)).write_parquet(log)
    result = run(log)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"error: {log}: row 1: propensity is 0.0; the logged action's propensity is above 0"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--policy", "greedy"],
        ["--policy", "fixed:z"],
        ["--estimators", "magic"],
        ["--estimators", "dr"],
        ["--estimators", ""],
        ["--estimators", "clipped_ips:no"],
        ["--max-weight", "0"],
        ["--interval", "jackknife"],
        ["--level", "2"],
        ["--reward", "clicks"],
        ["--target-propensity", "t", "--policy", "uniform"],
        ["--format", "xml"],
        ["--nonsense"],
        ["missing.parquet"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(log, arguments):
    """A question that cannot be asked ends with 2, nothing on stdout and the reason on stderr."""
    result = run(log, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_no_file_exits_2():
    """A log must be named."""
    assert run().exit_code == 2


def test_every_estimator_is_documented(request):
    """Each estimator stands in the reference page; those that are shown by default, and no others, are marked."""
    page = (request.config.rootpath / "docs/reference/ope.md").read_text()
    for name, estimator in ESTIMATORS.items():
        assert f"`{name}`" in page
        assert (f"`{name}` ●" in page) == estimator.by_default, name


def test_every_option_is_documented(request):
    """Each option of the command stands in its reference page."""
    page = (request.config.rootpath / "docs/reference/ope.md").read_text()
    help_text = run("--help").stdout
    options = [name for name in command.__kwdefaults__ if name not in {"output", "log_format"}]
    for option in [*("--" + name.replace("_", "-") for name in options), "--format", "--from"]:
        assert f"`{option}" in page
        assert option in help_text
