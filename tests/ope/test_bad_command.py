"""Each kind of bad input from the command line: the exit code, the row, the rule and the way out, or a report of it."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app

NAN = float("nan")
ROW = {"reward": 1.0, "propensity": 0.5, "target_propensity": 0.25}
SAMPLED = "Log the one that the action was drawn from."


def pairs(*chances):
    """A distribution over a, b, c…"""
    return [{"action": action, "propensity": p} for action, p in zip("abc", chances, strict=False)]


SERVED = {"reward": 1.0, "propensity": 0.5, "action": "a", "distribution": pairs(0.5, 0.5), "loop": "news"}
COUNTED = {"reward": 1.0, "propensity": 0.5, "n_actions": 2.0}
UNIFORM = ["--policy", "uniform"]
BAD = {
    "propensity of 0": (ROW, {"propensity": 0.0}, [], "propensity is 0.0; the logged action's propensity is above 0"),
    "propensity below 0": (ROW, {"propensity": -0.5}, [], "propensity is -0.5; the logged action's propensity is"),
    "propensity above 1": (ROW, {"propensity": 1.5}, [], "propensity is 1.5; the logged action's propensity is above"),
    "propensity NaN": (ROW, {"propensity": NAN}, [], "propensity is nan; the logged action's propensity is above 0"),
    "propensity null": (ROW, {"propensity": None}, [], "propensity is None; the logged action's propensity is above"),
    "target above 1": (ROW, {"target_propensity": 1.5}, [], "target_propensity is 1.5; the target's propensity is"),
    "reward NaN": (ROW, {"reward": NAN}, [], "reward is nan; a reward is a finite number"),
    "reward outside": (
        ROW,
        {"reward": 7.0},
        ["--reward-range", "0,1"],
        "reward is 7.0; --reward-range says that rewards",
    ),
    "sum below 1": (
        SERVED,
        {"distribution": pairs(0.5, 0.4)},
        UNIFORM,
        "the sum of distribution is 0.9; a distribution",
    ),
    "sum above 1": (SERVED, {"distribution": pairs(0.5, 0.501)}, UNIFORM, "the sum of distribution is 1.001; a"),
    "no actions": (
        SERVED,
        {"distribution": []},
        UNIFORM,
        "the sum of distribution is 0.0; a distribution adds up to 1",
    ),
    "chance NaN": (
        SERVED,
        {"distribution": pairs(0.5, NAN)},
        UNIFORM,
        "the sum of distribution is nan; a distribution",
    ),
    "chance null": (
        SERVED,
        {"distribution": pairs(0.5, None)},
        UNIFORM,
        "the sum of distribution is 0.5; a distribution",
    ),
    "chance below 0": (
        SERVED,
        {"distribution": pairs(0.5, 0.75, -0.25)},
        UNIFORM,
        f"the least propensity in distribution is -0.25; a probability is not below 0. {SAMPLED}",
    ),
    "sum, logged": (
        SERVED,
        {"distribution": pairs(0.5, 0.4)},
        ["--policy", "logged"],
        "the sum of distribution is 0.9; a",
    ),
    "no distribution": (SERVED, {"distribution": None}, UNIFORM, "the propensity under policy uniform is None; the"),
    "another loop": (
        SERVED,
        {"loop": "shop"},
        UNIFORM,
        "loop is 'shop'; a log is of one loop, and the first row's is 'news'",
    ),
    "no loop": (SERVED, {"loop": None}, UNIFORM, "loop is None; a log is of one loop, and the first row's is 'news'"),
    "another loop, columns": (
        ROW | {"loop": "a"},
        {"loop": "b"},
        [],
        "loop is 'b'; a log is of one loop, and the first",
    ),
    "no action to choose": (
        COUNTED,
        {"n_actions": 0.0},
        UNIFORM,
        "n_actions is 0.0; the number of eligible actions is a",
    ),
    "half an action": (COUNTED, {"n_actions": 2.5}, UNIFORM, "n_actions is 2.5; the number of eligible actions is a"),
    "fewer than no action": (
        COUNTED,
        {"n_actions": -2.0},
        UNIFORM,
        "n_actions is -2.0; the number of eligible actions",
    ),
}


def run(path, *arguments):
    """Run `ope evaluate` in this process."""
    return CliRunner().invoke(app, ["evaluate", str(path), *map(str, arguments)])


@pytest.fixture
def path(tmp_path):
    """Where a log goes."""
    return tmp_path / "log.parquet"


def write(path, good, change):
    """Four rows, the third of them bad."""
    pl.DataFrame([good, good, good | change, good], infer_schema_length=None).write_parquet(path)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_refused(path, kind):
    """Exit 1, nothing on stdout, and on stderr the file, the row, the value and the rule, then the way out."""
    good, change, options, says = BAD[kind]
    write(path, good, change)
    result = run(path, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    prefix = f"error: {path}: row 3: {says}"
    assert result.stderr.startswith(prefix)
    rest = result.stderr.removeprefix(prefix)
    assert rest.count(".") >= 1 or SAMPLED in says  # after the rule there is a sentence more


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_counted_and_listed(path, kind):
    """Exit 0, three rows judged, the bad one in the JSON and its number on stderr."""
    good, change, options, says = BAD[kind]
    write(path, good, change)
    result = run(path, *options, "--on-bad-rows", "report", "--format", "json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["n"], report["bad_rows"]["count"]) == (3, 1)
    (listed,) = report["bad_rows"]["rows"]
    assert listed["row"] == 3
    assert f"{listed['value']}; {listed['rule']}".startswith(says.removesuffix(f". {SAMPLED}"))
    assert "left out 1 bad rows" in result.stderr


def test_a_rounded_distribution_is_forgiven(path):
    """Three thirds of six digits are a distribution, as are doubles that add up to a hair more than 1."""
    for chances in ([0.333333] * 3, [0.1 + 0.2, 0.3, 0.4]):
        pl.DataFrame([SERVED | {"distribution": pairs(*chances)}] * 2).write_parquet(path)
        assert run(path, *UNIFORM).exit_code == 0


def test_loops_that_are_judged_apart_may_be_mixed(path):
    """`--segment loop` says that one knows; a column of that name that is no text is none of ours."""
    write(path, SERVED, {"loop": "shop"})
    result = run(path, *UNIFORM, "--segment", "loop", "--format", "json")
    assert result.exit_code == 0
    assert "shop" in result.stdout
    pl.DataFrame([ROW | {"loop": 1}, ROW | {"loop": 2}]).write_parquet(path)
    assert run(path).exit_code == 0


def test_files_of_different_loops_are_mixed_loops(tmp_path):
    """What holds of rows holds of files: the first one's loop is the log's."""
    paths = [tmp_path / f"{name}.parquet" for name in ("news", "shop")]
    for path in paths:
        pl.DataFrame([SERVED | {"loop": path.stem}] * 2).write_parquet(path)
    result = run(paths[0], paths[1], *UNIFORM)
    assert result.exit_code == 1
    assert (
        f"error: {paths[1]}: row 1: loop is 'shop'; a log is of one loop, and the first row's is 'news'"
        in result.stderr
    )
    assert "--segment loop" in result.stderr


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_mixed_loops_are_refused_on_every_engine(path, engine):
    """The rule is one expression like the others."""
    write(path, ROW | {"loop": "news"}, {"loop": "shop"})
    result = run(path, "--engine", engine)
    assert result.exit_code == 1
    assert f"{path}: row 3: loop is 'shop'" in result.stderr


def test_missing_columns_and_text_in_their_place(path):
    """A column that is not there is a wrong question, exit 2; text where a number is due a bad row, exit 1."""
    pl.DataFrame([ROW]).drop("propensity").write_parquet(path)
    missing = run(path)
    assert missing.exit_code == 2
    assert "there is no column 'propensity'; it has reward, target_propensity" in missing.stderr
    pl.DataFrame([ROW, ROW]).with_columns(reward=pl.Series(["1", "one"])).write_parquet(path)
    text = run(path)
    assert text.exit_code == 1
    assert f"{path}: row 2: reward is 'one'; a reward is a finite number" in text.stderr
    pl.DataFrame([ROW]).with_columns(reward=pl.lit([1.0])).write_parquet(path)
    lists = run(path)
    assert lists.exit_code == 1
    assert "column 'reward' holds List(Float64); it must hold numbers. Convert it" in lists.stderr


def test_no_row_one_row_and_no_weight(path):
    """Without rows there is nothing to judge, exit 1; one row has no error, and no weight at all no ratio: null."""
    pl.DataFrame([ROW]).clear().write_parquet(path)
    nothing = run(path)
    assert nothing.exit_code == 1
    assert f"{path}: no rows; an estimate needs at least one settled decision" in nothing.stderr

    def judged():
        report = json.loads(run(path, "--format", "json", "--estimators", "ips,snips").stdout)
        return report["diagnostics"], *report["estimates"]

    pl.DataFrame([ROW]).write_parquet(path)
    diagnostics, ips, snips = judged()
    assert (ips["value"], ips["stderr"], ips["interval"], snips["value"]) == (0.5, None, [None, None], 1.0)
    pl.DataFrame([ROW | {"target_propensity": 0.0}] * 3).write_parquet(path)
    diagnostics, ips, snips = judged()
    assert (ips["value"], snips["value"], diagnostics["ess"], diagnostics["mean_weight"]) == (0, None, 0, 0)


def test_a_target_outside_the_support_is_told(path):
    """It is no bad row but a weak log: how much of the target nobody ever tried is a number of the report."""
    pl.DataFrame([SERVED | {"propensity": 1.0, "distribution": pairs(1.0, 0.0)}] * 3).write_parquet(path)
    result = run(path, *UNIFORM, "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["diagnostics"]["support_deficit"] == 0.5
