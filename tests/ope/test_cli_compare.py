"""`ope compare` from the command line: the exact JSON, the table, the exit codes, and its documentation."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from bandit.cli.ope import app

NAMES = "abc"
TWO = ("--policy", "fixed:a", "--policy", "uniform")


@pytest.fixture
def log(tmp_path):
    """Return the path of a uniform log of 600 rows, made as the export has it, whose action a earns most (seed 1)."""
    rng = np.random.default_rng(1)
    arm = rng.integers(3, size=600)
    frame = pl.DataFrame(
        {
            "loop": "news",
            "decision_id": [f"d{i}" for i in range(600)],
            "context": "{}",
            "actions": json.dumps([{"id": name, "features": {}} for name in NAMES]),
            "distribution": [[{"action": name, "propensity": 1 / 3} for name in NAMES]] * 600,
            "action": [NAMES[i] for i in arm],
            "propensity": 1 / 3,
            "reward": (rng.random(600) < np.array([0.8, 0.2, 0.2])[arm]).astype(float),
        }
    )
    path = tmp_path / "log.parquet"
    frame.write_parquet(path)
    return path


@pytest.fixture
def config(tmp_path):
    """Return the path of a policy's config."""
    path = tmp_path / "beta.json"
    path.write_text('{"kind": "beta_ts"}')
    return path


def run(*arguments):
    """Run `ope compare` in this process, in columns wide enough for whole names."""
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})


def test_exact_json(log):
    """The JSON has these keys in this order and no more, and nothing goes to stderr."""
    result = run(log, *TWO, "--baseline", "uniform", "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    keys = ["n", "estimator", "baseline", "reference", "level", "method", "statements", "critical", "seed", "ranking"]
    assert list(told) == [*keys, "may_be_best"]
    assert [(one["policy"], one["verdict"]) for one in told["ranking"]] == [
        ("fixed:a", "better"),
        ("uniform", "reference"),
    ]
    assert (told["n"], told["statements"], told["may_be_best"]) == (600, 1, None)
    assert told["ranking"][1]["interval"] == [None, None]


def test_options_reach_the_ranking(log):
    """Estimator, level and seed are those that were asked for; a lower level has narrower intervals."""
    wide, narrow = (
        json.loads(run(log, *TWO, "--estimator", "ips", "--level", level, "--seed", "3", "--format", "json").stdout)
        for level in ("0.99", "0.5")
    )
    assert (wide["estimator"], wide["level"], wide["seed"]) == ("ips", 0.99, 3)
    assert wide["critical"] > narrow["critical"] + 1
    assert wide["may_be_best"] == ["fixed:a"]


def test_configs_that_learn_are_ranked(log, config):
    """`--learning` puts what a config earns alone and what it earns from everything in its place, with its notes."""
    result = run(log, "--policy", config, "--policy", "uniform", "--learning", "--format", "json")
    assert result.exit_code == 0, result.output
    ranked = {one["policy"]: one for one in json.loads(result.stdout)["ranking"]}
    assert set(ranked) == {f"learn:{config}", f"progressive:{config}", "uniform"}
    # It finds that a is best. Without learning it would be worth what choosing evenly is, 0.4.
    assert ranked[f"progressive:{config}"]["value"] > ranked["uniform"]["value"] + 0.2
    assert ranked["uniform"]["verdict"] == "worse"
    assert f"progressive:{config}: value of its successive states" in result.stderr
    assert f"learn:{config}: value of learning by itself for" in result.stderr


def test_a_baseline_may_be_scored(log, config):
    """A config that is only the baseline is scored too."""
    result = run(log, "--policy", "fixed:a", "--baseline", f"progressive:{config}", "--format", "json")
    assert json.loads(result.stdout)["reference"] == f"progressive:{config}"


def test_the_table_names_all_and_their_verdicts(log):
    """The table is the default."""
    result = run(log, *TWO, "--baseline", "uniform")
    assert "2 policies on 600 logged decisions, by snips" in result.stdout
    assert [
        line.split()[-1] for line in result.stdout.splitlines() if line.split()[:1] in (["fixed:a"], ["uniform"])
    ] == [
        "better",
        "reference",
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--policy", "uniform"), "give two or more"),
        ((*TWO, "--estimator", "mips"), "--estimator mips"),
        ((*TWO, "--baseline", "other"), "unknown policy 'other'"),
        ((*TWO, "--level", "1"), "level"),
        ((*TWO, "--policy", "news@line"), "--data"),
        ((*TWO, "--policy", "none.json"), "none.json: cannot be read"),
        ((*TWO, "--learning"), "--learning is for policies that are config files"),
        ((*TWO, "--policy", "news@line@3"), "a model version is looked up in a data folder; name it with --data"),
    ],
)
def test_wrong_usage_exits_2(log, options, says, tmp_path, monkeypatch):
    """What cannot be asked ends with 2 and one line that says what to do."""
    monkeypatch.chdir(tmp_path)
    result = run(log, *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_log_that_no_policy_can_be_asked_about_is_told(log, config):
    """Without features it cannot be asked, 2; of two loops it is a bad log, 1."""
    frame = pl.read_parquet(log)
    frame.drop("context").write_parquet(log)
    bare = run(log, "--policy", config, "--policy", "uniform")
    assert (bare.exit_code, "no column 'context'" in bare.stderr) == (2, True)
    pl.concat([frame, frame.with_columns(loop=pl.lit("ads"))]).write_parquet(log)
    mixed = run(log, "--policy", config, "--policy", "uniform")
    assert (mixed.exit_code, "rows of 2 loops, ads, news" in mixed.stderr) == (1, True)


def test_every_option_is_documented():
    """The reference of the command line and that of the comparison name each option."""
    docs = Path(__file__).parents[2] / "docs/reference"
    page, whole = (docs / "cli.md").read_text(), (docs / "ope.md").read_text()
    short = page[page.index("## `honeyguide ope compare`") :].split("\n## ")[0]
    long = whole[whole.index("## Comparing many") :].split("\n## ")[0]
    command = typer.main.get_command(app).commands["compare"]
    names = [option for one in command.params for option in one.opts if option.startswith("--") and option != "--help"]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in short] == []
    assert [name for name in names if f"`{name}`" not in long] == []
