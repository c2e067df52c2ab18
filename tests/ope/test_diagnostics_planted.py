"""Each fault is found and nothing else is; healthy logs have none, and what a log cannot answer is not passed."""

import numpy as np
import polars as pl
import pytest
from planted import PLANTED, Planted, changed, columns_only, healthy, without_distribution

from ope.diagnostics.checks.table import CODES
from ope.diagnostics.findings import Lint
from ope.diagnostics.lint import lint_files, lint_frame
from ope.diagnostics.question import Asked
from ope.diagnostics.thresholds import DEFAULTS
from ope.policies import parse_policy


def asking(policy: str | None = "uniform", **options: object) -> Asked:
    """Return the options of a lint under one policy."""
    limits = DEFAULTS | options.pop("limits", {})
    return Asked(limits, policies=() if policy is None else (parse_policy(policy),), **options)


def faults(lint: Lint) -> list[str]:
    """Return the codes of the faults that nothing else explains."""
    return [one.code for one in lint.at_least("warn") if one.because is None]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.code}-{planted.severity}")
def test_a_planted_fault_is_found_and_nothing_else(planted: Planted):
    """The one root finding has the code, the severity and the rows of the fault, and says what to do."""
    found = lint_frame(planted.log(), asked=asking(planted.policy, **dict(planted.options)))
    assert faults(found) == [planted.code]
    [root] = [one for one in found.at_least("warn") if one.because is None]
    assert (root.severity, found.verdict) == (planted.severity, planted.severity)
    assert root.where.rows == planted.rows or not planted.rows
    assert root.says
    assert root.way_out


OF_LINES = {"file_unreadable", "row_broken", "no_decision"}


def test_every_code_is_planted():
    """No finding exists that no planted log gives; some need a file and are tested there, and one is never a fault."""
    assert {planted.code for planted in PLANTED} == {*CODES} - OF_LINES - {"row_weights"}


@pytest.mark.parametrize("seed", range(5))
def test_healthy_logs_have_no_fault(seed: int):
    """Whole logs and bare ones pass everything that they can be asked; false alarms are counted in the rates."""
    whole = lint_frame(healthy(seed), asked=asking(segments=("country",), reward_range=(0.0, 1.0), trained_through=500))
    assert faults(whole) == []
    assert whole.unknown == ()
    assert {one.code for one in whole.findings} >= {*CODES} - {
        "column_missing", "column_type", *OF_LINES, "no_rows", "row_weights", "row_weight_invalid", "target_invalid",
        "q_logged_invalid", "q_target_invalid",
    }  # fmt: skip
    assert faults(lint_frame(columns_only(seed), asked=asking(None))) == []


def test_what_a_log_cannot_answer_is_unknown():
    """A log of four numbers passes none of the checks that need more, and each says what it needs."""
    found = lint_frame(columns_only().select("propensity", "reward"), asked=asking(None))
    unknown = {one.code: one.why for one in found.unknown}
    assert unknown.keys() == {
        "argmax_logged", "overexplored", "calibration", "support_deficit", "ess", "action_ess", "segment_ess",
        "largest_weight", "top_share", "weight_tail", "mean_weight", "duplicates", "disorder", "mixed_loops", "overlap",
        "q_bias", "q_slope",
    }  # fmt: skip
    assert not unknown.keys() & {one.code for one in found.findings}
    assert "--policy" in unknown["ess"]
    assert "distribution" in unknown["argmax_logged"]


def test_consequences_follow_their_cause():
    """What follows from a cause stands in the report, marked, and never hides something worse."""
    argmax = next(planted for planted in PLANTED if planted.code == "argmax_logged")
    found = lint_frame(argmax.log(), asked=asking())
    assert {one.code: one.because for one in found.at_least("warn")} == {
        "argmax_logged": None,
        "mean_weight": "argmax_logged",
    }  # fmt: skip
    weak = lint_frame(without_distribution(np.array([1.0] * 59 + [5.0])), asked=asking(None))
    assert [(one.code, one.severity, one.because) for one in weak.at_least("warn") if one.code != "rewards_few"] == [
        ("largest_weight", "warn", None), ("ess", "warn", "largest_weight"),
    ]  # fmt: skip
    worse = lint_frame(healthy(rows=60), asked=asking(limits={"largest_share_warn": 0.01, "ess_refuse": 99}))
    assert [(one.code, one.because) for one in worse.at_least("refuse")] == [("ess", None)]


def test_findings_are_sorted_worst_first():
    """Refusals stand before warnings, warnings before what passed, whatever the order of the checks."""
    log = changed("decision_id", "d-10", 12).with_columns(loop=pl.col("country"))
    order = [one.severity for one in lint_frame(log, asked=asking()).findings]
    assert order == sorted(order, key=["refuse", "warn", "ok"].index)
    assert {"refuse", "warn", "ok"} == set(order)


def test_several_files_are_one_log(tmp_path):
    """Rows are counted in their own file; a column that one file lacks is named with it; copies across are found."""
    first, second = tmp_path / "a.parquet", tmp_path / "b.ndjson"
    log = changed("propensity", 0.0, 2_100)
    log.head(2_000).write_parquet(first)
    log.slice(2_000).write_ndjson(second)
    [zero] = lint_files([first, second], asked=asking("logged")).at_least("warn")
    assert (zero.where.file, zero.where.rows) == (str(second), (100,))
    assert faults(lint_files([first, first], asked=asking("logged"))) == ["duplicates"]
    healthy().slice(2_000).drop("propensity").write_ndjson(second)
    [missing] = lint_files([first, second], asked=asking(None)).at_least("warn")
    assert (missing.code, missing.where.file) == ("column_missing", str(second))


@pytest.mark.parametrize("write", ["write_csv", "write_ndjson", "write_parquet"])
def test_formats_agree(tmp_path, write: str):
    """The same log in each format gives the same answers."""
    log = changed("propensity", 0.0, 17).drop("distribution", "predicted_rewards").with_columns(n_actions=pl.lit(4))
    path = tmp_path / f"log.{write.removeprefix('write_')}"
    getattr(log, write)(path)
    found, of_frame = lint_files([path], asked=asking()), lint_frame(log, asked=asking())
    assert [(one.code, one.severity, one.where.rows) for one in found.findings] == [
        (one.code, one.severity, one.where.rows) for one in of_frame.findings
    ]
    numbers = [pytest.approx(one.value, rel=1e-9) if one.value is not None else None for one in of_frame.findings]
    assert [one.value for one in found.findings] == numbers
    assert found.unknown == of_frame.unknown


def test_other_engines_agree():
    """Pandas and pyarrow frames are taken, and give what polars gives."""
    log = changed("decision_id", "d-10", 12)
    ours = lint_frame(log, asked=asking())
    for other in (log.to_pandas(), log.to_arrow(), log.lazy()):
        theirs = lint_frame(other, asked=asking())
        assert [(one.code, one.severity, one.where) for one in theirs.findings] == [
            (one.code, one.severity, one.where) for one in ours.findings
        ]


@pytest.mark.parametrize(
    "at",
    [
        pl.col("at").dt.to_string("iso:strict"),
        pl.col("at").dt.to_string("%Y-%m-%d %H:%M:%S"),
        pl.col("at").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
        pl.col("at").dt.timestamp("ms") + 1_700_000_000_000,
        pl.col("at").dt.timestamp("us") + 1_700_000_000_000_000,
        (pl.col("at").dt.timestamp("ms") / 1000 + 1_700_000_000).cast(pl.String),
        pl.col("at").dt.replace_time_zone(None),
    ],
    ids=["iso", "blank", "Z", "ms", "us", "epoch text", "naive"],
)
def test_times_in_many_spellings(at: pl.Expr):
    """Times are read however they were written, and the periods are six hours long here."""
    found = lint_frame(healthy().with_columns(at=at), asked=asking())
    assert faults(found) == []
    [gap] = [one for one in found.findings if one.code == "reward_gap"]
    assert "each of 12 periods" in gap.says or "each of 13 periods" in gap.says


def test_a_lost_period_is_named():
    """Where rewards stopped is said with times, or with rows where the log has none."""
    lost = next(planted for planted in PLANTED if planted.code == "reward_gap").log()
    [gap] = lint_frame(lost, asked=asking()).at_least("warn")
    assert gap.where.period in {
        "1970-01-02T00:00:00+00:00 to 1970-01-02T06:00:00+00:00",
        "1970-01-02T06:00:00+00:00 to 1970-01-02T12:00:00+00:00",
    }
    [gap] = lint_frame(lost.drop("at", "outcome"), asked=asking(limits={"gap_share": 0.9})).at_least("warn")
    assert gap.where.period.startswith("rows 1,")


def test_a_catalogue_that_varies_is_not_miscalibrated():
    """Without distributions, an action that was eligible in half of the rows is no fault; one drawn too often is."""
    log = healthy().with_columns(
        place=pl.int_range(pl.len()), a=pl.col("distribution").list.first().struct["propensity"]
    )
    without = pl.col("place") % 2 == 1  # in these rows a was not eligible, and its mass was spread over the others
    half = log.filter(~without | (pl.col("action") != "a")).select(
        "action",
        "reward",
        pl.when(without).then(pl.col("propensity") / (1 - pl.col("a"))).otherwise("propensity").alias("propensity"),
    )
    assert faults(lint_frame(half, asked=asking(None))) == []
    fixed = lint_frame(half.with_columns(n_actions=pl.lit(4)), asked=asking(None))
    assert faults(fixed) == ["calibration"]


def test_disorder_is_found_across_pieces(monkeypatch: pytest.MonkeyPatch):
    """Times are compared in pieces of the log, the last of one with the first of the next; files are not compared."""
    monkeypatch.setattr("ope.diagnostics.facts.PIECE", 7)
    log = healthy().head(40)
    order = pl.Series([*range(7), *range(20, 27), *range(7, 20), *range(27, 40)])
    [disorder] = [one for one in lint_frame(log[order], asked=asking("logged")).findings if one.code == "disorder"]
    assert (disorder.value, disorder.where.rows) == (1 / 40, (15,))


def test_copies_of_a_large_log_are_estimated(monkeypatch: pytest.MonkeyPatch):
    """Above the number of ids that are kept, a share of them is looked at, and its share of copies is the log's."""
    monkeypatch.setattr("ope.diagnostics.facts.MOST_IDS", 500)
    log = pl.concat([healthy(), healthy().head(2_000)]).sort("at", maintain_order=True)
    [copies] = lint_frame(log, asked=asking("logged")).at_least("refuse")
    assert copies.code == "duplicates"
    assert copies.value == pytest.approx(1 / 3, abs=0.08)
    assert "one id in 12 was looked at" in copies.says
