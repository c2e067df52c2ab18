"""The linter reads every format that is converted, tells what is beside the rows, and counts rows as they weigh."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import healthy
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.convert import convert
from ope.diagnostics.lint import lint_files, lint_frame
from ope.diagnostics.pareto import pareto_k
from ope.diagnostics.question import Asked
from ope.diagnostics.roles import Roles
from ope.diagnostics.thresholds import DEFAULTS
from ope.errors import InvalidRequest
from ope.formats.dsjson import BLANK, DANGLING, NOT_SHOWN
from ope.formats.guess import CB, CB_ADF, DSJSON, FORMATS, OPEN_BANDIT
from ope.formats.vw_text import UNLABELLED
from ope.policies import parse_policy

UNIFORM = Asked(DEFAULTS, policies=(parse_policy("uniform"),))
NUMBERED = healthy(rows=600).with_columns(
    action=pl.col("action").replace_strict({"a": "1", "b": "2", "c": "3", "d": "4"}), n_actions=pl.lit(4)
)


def by_code(lint):
    """Return the findings by their codes."""
    return {one.code: one for one in lint.findings}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_linted_alike(tmp_path, kind):
    """Whatever carries actions, propensities and rewards passes or fails the same checks with the same numbers."""
    plain, path = tmp_path / "plain.parquet", tmp_path / "log"
    NUMBERED.drop("distribution", "predicted_rewards", "outcome", "model_version").with_columns(
        actions=pl.lit(json.dumps([{"id": str(i), "features": {"x": i}} for i in range(1, 5)]))
    ).write_parquet(plain)
    convert([plain], path, target=kind)
    asked = Asked(DEFAULTS, policies=(parse_policy("fixed:2"),))
    ours, theirs = lint_files([plain], asked=asked), lint_files([path], asked=asked, log_format=kind)
    assert theirs.n == ours.n == 600
    assert theirs.verdict == ours.verdict == "ok"
    for code in ("ess", "action_ess", "largest_weight", "top_share", "rewards_few"):
        one, other = by_code(ours)[code], by_code(theirs)[code]
        assert other.value == pytest.approx(one.value, rel=1e-9)
        assert other.severity == one.severity


def test_the_format_is_guessed_or_said(tmp_path):
    """First lines tell; `--from` decides; a format that is none is a wrong question."""
    path = tmp_path / "decisions.txt"
    path.write_text("1:-1:0.5 | x\n2:0:0.5 | x\n" * 50)
    run = CliRunner().invoke(app, ["diagnose", str(path), "--format", "json"])
    assert json.loads(run.stdout)["n"] == 100
    named = CliRunner().invoke(app, ["diagnose", str(path), "--from", "csv", "--format", "json"])
    assert named.exit_code == 1
    with pytest.raises(InvalidRequest, match="--from vw: no such format"):
        lint_files([path], log_format="vw")


def test_lists_in_csv_are_json_text(tmp_path):
    """A distribution that a CSV holds as text is judged, under any name; one that is none is named by its row."""
    path = tmp_path / "log.csv"
    convert_from = tmp_path / "log.parquet"
    healthy(rows=300).write_parquet(convert_from)
    convert([convert_from], path)
    text = path.read_text().replace("distribution", "spread", 1)
    path.write_text(text)
    roles = Roles(distribution="spread")
    assert lint_files([path], roles=roles, asked=UNIFORM).verdict == "ok"
    lines = text.split("\n")
    lines[7] = lines[7].replace("[{", "{", 1)
    path.write_text("\n".join(lines))
    assert by_code(lint_files([path], roles=roles, asked=UNIFORM))["distribution_invalid"].where.rows == (7,)


def decision(**changes):
    """Return a line of DSJSON."""
    said = {"_label_cost": -1, "_label_probability": 0.5, "_labelIndex": 0, "a": [1, 2], "p": [0.5, 0.5]}
    return json.dumps(said | {"c": {"_multi": [{}, {}]}} | changes)


def test_lines_beside_the_rows_are_told(tmp_path):
    """Lines that are no decision are counted by reason, lost rewards are warned of, broken lines have their numbers."""
    path = tmp_path / "log.dsjson"
    dangling = json.dumps({"EventId": "x", "RewardValue": 1})
    path.write_text("\n".join([decision(), decision(_skipLearn=True), dangling, "", decision(pdrop=1), "{"]))
    found = lint_files([path])
    left_out = {one.says.split(": ", 1)[1]: one.severity for one in found.findings if one.code == "no_decision"}
    assert left_out == {f"{NOT_SHOWN}.": "ok", f"{DANGLING}.": "warn", f"{BLANK}.": "ok"}
    broken = by_code(found)["row_broken"]
    assert (broken.value, broken.where.rows) == (2, (5, 6))
    assert "pdrop is 1" in broken.says
    assert found.n == 1


def test_decisions_without_a_cost_are_missed(tmp_path):
    """In VW's text, a line without a cost is a decision whose outcome nobody knows."""
    path = tmp_path / "log.vw"
    path.write_text("1:-1:0.5 | x\n2:0:0.5 | x\n | x\n")
    [one] = [one for one in lint_files([path]).findings if one.code == "no_decision"]
    assert (one.severity, one.value) == ("warn", 1)
    assert UNLABELLED in one.says
    assert one.way_out


def test_what_a_file_never_says_is_unknown_not_broken(tmp_path):
    """A DSJSON log without ids and times is not blamed in every row; what it cannot tell is listed."""
    path = tmp_path / "log.dsjson"
    path.write_text("\n".join([decision()] * 50))
    found = lint_files([path])
    assert {"time_invalid", "id_missing", "no_exploration"} & by_code(found).keys() == {"no_exploration"}
    assert {"duplicates", "disorder"} <= {one.code for one in found.unknown}


def test_copies_are_seen_without_ids(tmp_path):
    """Lines that say the same, time and all, are copies, whatever their numbers are; they are named by these."""
    path = tmp_path / "log.dsjson"
    lines = [decision(Timestamp=f"2026-01-01T00:00:{second:02}Z") for second in range(50)]
    path.write_text("\n".join([*lines[:20], lines[19], *lines[20:]]))
    copies = by_code(lint_files([path]))["duplicates"]
    assert (copies.value, copies.where.rows) == (1 / 51, (20, 21))


def test_a_broken_open_bandit_file(tmp_path):
    """Its broken lines are named too, and the rest is judged under our names."""
    path = tmp_path / "log.csv"
    header = "timestamp,item_id,position,click,propensity_score"
    path.write_text(
        "\n".join([header, "2020-01-01 00:00:00+00:00,3,1,0,0.5", "1,2,3,4,5,6", "2020-01-01 00:00:01+00:00,4,1,1,2"])
    )
    found = by_code(lint_files([path]))
    assert found["row_broken"].where.rows == (2,)
    assert found["propensity_above_one"].where.rows == (3,)


def weighted(rows=2_000, seed=5):
    """Return a healthy log that kept each row without a reward with probability 1/4 only, and says so."""
    log = healthy(seed=seed, rows=rows)
    kept = pl.Series(np.random.default_rng(seed).random(rows) < 0.25)
    return log.with_columns(row_weight=pl.when(pl.col("reward") > 0).then(1.0).otherwise(4.0)).filter(
        (pl.col("reward") > 0) | kept
    )


def test_rows_weigh_as_many_decisions_as_they_stand_for():
    """ESS, the largest share and the mean weight are those of w·h, checked against plain numpy."""
    log = weighted()
    found = by_code(lint_frame(log, asked=UNIFORM))
    h = log["row_weight"].to_numpy()
    w = 0.25 / log["propensity"].to_numpy() * h
    assert found["ess"].value == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert found["largest_weight"].value == pytest.approx(w.max() / w.sum())
    scaled = w / h.mean()
    z = (scaled.mean() - 1) / (scaled.std(ddof=1) / len(w) ** 0.5)
    assert found["mean_weight"].value == pytest.approx(z)
    assert found["row_weights"].says.startswith("a row stands for 1 to 4 decisions")


def test_a_subsampled_log_is_not_blamed_for_its_draws():
    """Rows that were kept for their rewards are no draws: the tests of draws are unknown, and say why."""
    log = weighted()
    unknown = {one.code: one.why for one in lint_frame(log, asked=UNIFORM).unknown}
    assert {"calibration", "argmax_logged", "overexplored", "reward_gap"} <= unknown.keys()
    assert "row_weight" in unknown["calibration"]
    assert not {"calibration"} & {
        one.code for one in lint_frame(log.with_columns(row_weight=3.0), asked=UNIFORM).unknown
    }


def test_equal_row_weights_change_nothing_that_is_judged():
    """A log that kept a tenth of all rows has the findings of one that says nothing of it."""
    log = healthy()
    plain, heavy = (by_code(lint_frame(one, asked=UNIFORM)) for one in (log, log.with_columns(row_weight=10.0)))
    for code, one in plain.items():
        assert heavy[code].value == (None if one.value is None else pytest.approx(one.value))
        assert heavy[code].severity == one.severity


def test_single_precision_is_no_tail():
    """Equal weights that were written in single precision differ in the eighth digit, and are one weight."""
    rng = np.random.default_rng(0)
    ties = 1 + rng.uniform(-1e-8, 1e-8, 200)
    heavy = np.linspace(1.5, 9, 12)
    k = pareto_k(np.sort(np.concatenate([ties, heavy]))[::-1], n=212)
    assert k is not None
    assert k < 0.7


def test_few_rows_are_not_one_heavy_row():
    """Of three rows that weigh alike each has a third of the weight; what is wrong is their number."""
    lint = lint_frame(healthy(rows=3), asked=Asked(DEFAULTS, policies=(parse_policy("logged"),)))
    found = by_code(lint)
    assert found["largest_weight"].severity == "ok"
    assert (found["ess"].severity, found["ess"].because) == ("refuse", None)
    assert found["ess"].way_out.startswith("Gather more rows")


LINES = st.one_of(
    st.sampled_from(
        [decision(), "1:2:0.5 |a b:1", "shared |x", "|a", "0:1:0.2 |c", "", "[", "1,2,3,4,5", '"', "\r1:1:1 |"]
    ),
    st.text(max_size=12),
)
HEADS = {DSJSON: b"", CB: b"", CB_ADF: b"", OPEN_BANDIT: b"timestamp,item_id,position,click,propensity_score\n"}


@given(kind=st.sampled_from(sorted(HEADS)), lines=st.lists(LINES, max_size=6), tail=st.binary(max_size=12))
def test_any_lines_can_be_linted_in_every_format(tmp_path_factory, kind, lines, tail):
    """Whatever stands in a file, in whatever format it is read, there is a report."""
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(HEADS[kind] + "\n".join(lines).encode(errors="replace") + tail)
    lint_files([path], log_format=kind)
