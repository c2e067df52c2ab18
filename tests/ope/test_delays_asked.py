"""Delayed rewards from files and the command line: formats, policies, bad rows, and questions that cannot be asked."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.delays.asked import Delays
from ope.delays.timed import timed
from ope.delays.waiting import Waiting
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.formats.source import Source
from ope.question import Question
from tests.ope.delayed import START, WINDOW, by_hand, evaluated, now

LOG = by_hand([(0, 100, 5.0), (0, None, None), (0, 1_001, 9.0), (500, None, None), (600, 10, 4.0)])
MATURE = ("--unresolved", "mature", "--window-s", "1000", "--now", now(1_000))


def run(*arguments):
    """Run `ope evaluate` in this process."""
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def value(path, *arguments):
    """Return what the command says IPS is."""
    result = run(path, "--estimators", "ips", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["estimates"][0]["value"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
@pytest.mark.parametrize("report", [(), ("--on-bad-rows", "report")])
def test_every_format_gives_the_same(tmp_path, kind, report):
    """Times as timestamps and as text, nulls as nulls and as empty cells."""
    path = tmp_path / f"log.{kind}"
    getattr(LOG, {"parquet": "write_parquet", "csv": "write_csv", "ndjson": "write_ndjson"}[kind])(path)
    assert value(path, *MATURE, *report) == pytest.approx(5 / 3)


@pytest.mark.parametrize("report", [(), ("--on-bad-rows", "report")])
def test_the_first_reward_of_an_ndjson_log_may_come_late(tmp_path, report):
    """More nulls than are looked at for a column's type, then a time: it is still read as one."""
    path = tmp_path / "log.ndjson"
    by_hand([*[(0, None, None)] * 10_001, (0, 100, 10_002.0)]).write_ndjson(path)
    assert value(path, *MATURE, *report) == pytest.approx(1.0)


def as_epoch(unit):
    """Return the log with its times as numbers."""
    return LOG.with_columns(pl.col("at", "rewarded_at").dt.epoch(unit))


ZONED = LOG.with_columns(
    pl.col("at").dt.convert_time_zone("America/New_York"), pl.col("rewarded_at").dt.convert_time_zone("Asia/Kolkata")
)


@pytest.mark.parametrize(
    "log",
    [
        LOG.with_columns(pl.col("at", "rewarded_at").dt.replace_time_zone(None)),
        ZONED,
        ZONED.with_columns(pl.col("at", "rewarded_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.f%:z")),
        LOG.with_columns(pl.col("at", "rewarded_at").dt.cast_time_unit("ns")),
        as_epoch("s"),
        as_epoch("ms"),
        as_epoch("ns"),
    ],
    ids=["no zone", "zones", "text with zones", "nanoseconds", "seconds", "milliseconds", "epoch in nanoseconds"],
)
def test_every_way_to_write_a_time_is_the_same_time(log):
    """A time without a zone is UTC, one with a zone is where it says, a number counts from 1970."""
    assert evaluated(log, unresolved="mature", now=now(1_000)).estimates[0].value == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    "said",
    ["2026-03-14T00:16:40", "2026-03-14T00:16:40Z", "2026-03-14 01:16:40+01:00", "2026-03-13T20:16:40-04:00"],
)
def test_now_is_utc_unless_it_says_otherwise(said):
    """The same moment in four ways."""
    assert evaluated(LOG, unresolved="mature", now=said).delayed.now == "2026-03-14T00:16:40Z"


@pytest.mark.parametrize("convert", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.lazy])
def test_frames_in_memory_and_lazy_ones_give_the_same(convert):
    """What is there as pandas, pyarrow or a lazy frame is worked out in polars; without a window, where it is."""
    log = convert(LOG)
    assert evaluated(log, unresolved="mature", now=now(1_000)).estimates[0].value == pytest.approx(5 / 3)
    bounds = evaluated(log, unresolved="bounds", window_s=None, reward_range=(0, 10)).estimates[0].value_bounds
    assert bounds == (pytest.approx(18 / 5), pytest.approx(38 / 5))


class Elsewhere:
    """A frame whose rows an engine of SQL keeps."""

    implementation = "DUCKDB"

    def to_native(self):
        """Return no polars frame."""
        return self


def test_an_engine_of_sql_is_refused_with_the_way_out():
    """Times are read in polars alone."""
    waiting = Waiting.of(Delays(unresolved="mature", window_s=1), within=None, interval="normal")
    with pytest.raises(InvalidRequest, match="--unresolved is worked out in polars or pandas, not in DUCKDB"):
        timed(Source("frame", Elsewhere(), Elsewhere()), waiting, reward="reward")


def test_policies_and_predictions_work_on_the_rewards_that_count():
    """Under --policy, with predicted rewards: uniform over two actions, so that weights are 1, q is 1 and DR is IPS."""
    pair = [{"action": "a", "propensity": 0.5}, {"action": "b", "propensity": 0.5}]
    log = LOG.with_columns(
        action=pl.lit("a"), distribution=pl.Series([pair] * 5), predicted_rewards=pl.Series([[1.0, 1.0]] * 5)
    )
    found = evaluated(
        log, unresolved="mature", now=now(1_000), policies=("uniform",), estimators=("ips", "snips", "dr", "dm")
    )
    assert [one.value for one in found.estimates] == pytest.approx([5 / 3, 5 / 3, 5 / 3, 1.0])


def test_several_files_are_one_log_with_one_now_and_one_delay_distribution(tmp_path):
    """Young rows in one file, old ones in the other: the delays of the old serve the young."""
    old = by_hand([(-5_000, 100, 1.0)] * 30 + [(-5_000, 700, 1.0)] * 30)
    young = by_hand([(0, 100, 1.0)] * 2 + [(0, None, None)] * 8)
    old.write_parquet(tmp_path / "old.parquet")
    young.write_csv(tmp_path / "young.csv")
    asked = Delays(unresolved="ipcw", window_s=WINDOW, now=now(500))
    paths = [tmp_path / "old.parquet", tmp_path / "young.csv"]
    (found,) = evaluate_files(paths, Question(estimators=["ips"], delays=asked)).values()
    assert found.estimates[0].value == pytest.approx((60 + 2 * 2) / 70)


ONE_BAD = [(0, 100, 1.0), (0, None, None), (0, 200, 0.5)]


def broken(column, value):
    """Return a log whose second row is wrong in one column."""
    log = by_hand(ONE_BAD)
    return log.with_columns(pl.when(pl.int_range(3) == 1).then(value).otherwise(column).alias(column))


BAD_ROWS = {
    "at is None; a decision has the time at which it was made": broken("at", None),
    "rewarded_at is None; a reward has the time": broken("reward", 1.0),
    "reward is None; what came at a time is a reward": broken("rewarded_at", START),
    "reward is nan; a reward is a finite number": broken("reward", float("nan")),
    "a reward does not come before its decision": broken("reward", 1.0).with_columns(
        pl.when(pl.int_range(3) == 1).then(START - timedelta(seconds=5)).otherwise("rewarded_at").alias("rewarded_at")
    ),
}


@pytest.mark.parametrize("way", ["mature", "bounds"])
@pytest.mark.parametrize(("says", "log"), BAD_ROWS.items())
def test_a_row_that_contradicts_itself_is_named_or_listed(says, log, way):
    """Clock skew, times missing, rewards without times: row 2 is named; reported, it is left out and listed."""
    asked = {"unresolved": way, "now": now(1_000), "reward_range": (-5, 5)}
    with pytest.raises(InvalidLog, match=f"row 2: .*{says}.*\\. [A-Z]"):
        evaluated(log, **asked)
    question = Question(
        estimators=["ips"],
        on_bad_rows="report",
        reward_range=(-5, 5),
        delays=Delays(unresolved=way, window_s=WINDOW, now=now(1_000)),
    )
    (found,) = evaluate_frame(log, question).values()
    assert (found.n, found.bad_rows.broken, [row.row for row in found.bad_rows.shown]) == (2, 1, [2])


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (("soon", "", ""), "at is 'soon'; a decision has the time"),
        (("2026-03-14T00:00:00Z", "later", "1"), "rewarded_at is 'later'; when the reward came is a time"),
        (("2026-03-14T00:00:00Z", "", "abc"), "reward is 'abc'; a reward is a finite number, or null where none came"),
    ],
)
def test_text_that_is_no_time_and_no_number_is_quoted(tmp_path, cells, says):
    """A cell that cannot be read is not taken for one in which nothing stands."""
    at, came, reward = cells
    path = tmp_path / "log.csv"
    head = "at,rewarded_at,reward,propensity,target_propensity\n2026-03-14T00:00:00Z,,,0.5,0.5\n"
    path.write_text(f"{head}{at},{came},{reward},0.5,0.5\n")
    result = run(path, *MATURE)
    assert result.exit_code == 1
    assert f"row 2: {says}" in result.stderr


def test_unreadable_rewards_are_not_open_decisions(tmp_path):
    """Bounds without a window take an empty cell for open, and refuse one that is no number."""
    path = tmp_path / "log.csv"
    path.write_text("reward,propensity,target_propensity\n,0.5,0.5\nabc,0.5,0.5\n")
    result = run(path, "--unresolved", "bounds", "--reward-range", "0,1")
    assert (result.exit_code, "row 2: reward is 'abc'; a reward is a finite number" in result.stderr) == (1, True)


def test_other_rules_name_the_row_of_the_file_though_rows_were_left_out():
    """The propensity of the fourth row is broken; the rows before it that are too young do not shift its number."""
    log = by_hand([(900, None, None), (900, 1, 1.0), (0, None, None), (0, 5, 1.0)])
    log = log.with_columns(propensity=pl.Series([0.5, 0.5, 0.5, 0.0]))
    with pytest.raises(InvalidLog, match=r"row 4: propensity is 0\.0"):
        evaluated(log, unresolved="mature", now=now(1_000))


def test_rewards_outside_the_declared_range_are_named():
    """What was declared is not what there is: row 3 with its reward, whatever the interval."""
    for way in ("mature", "bounds", "ipcw"):
        with pytest.raises(InvalidLog, match=r"row 3: reward is 9\.0; --reward-range says .* between 0 and 5"):
            evaluated(LOG, unresolved=way, now=now(1_000), reward_range=(0, 5))
    with pytest.raises(InvalidLog, match=r"1 rewards in 'reward' are outside --reward-range 0,5"):
        evaluated(LOG, unresolved="bounds", window_s=None, reward_range=(0, 5))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"unresolved": "later"}, "there is no such way; it is refuse, mature, ipcw, bounds"),
        ({"unresolved": "mature", "window_s": None}, "mature needs --window-s"),
        ({"unresolved": "ipcw", "window_s": None}, "ipcw needs --window-s"),
        ({"unresolved": "mature", "window_s": 0}, "--window-s is 0; it is a number of seconds above 0"),
        ({"unresolved": "mature", "window_s": float("nan")}, "--window-s is nan"),
        ({"unresolved": "mature", "window_s": 1e12}, r"--window-s is 1e\+12"),
        ({"unresolved": "mature", "now": "yesterday"}, "--now is 'yesterday'; it is a time such as"),
        ({"unresolved": "mature", "now": "2020-01-01"}, "no decision was made by 2020-01-01T00:00:00Z"),
        ({"unresolved": "mature", "default_reward": float("inf")}, "--default-reward is inf"),
        ({"unresolved": "bounds"}, "bounds needs --reward-range LO,HI"),
        ({"unresolved": "bounds", "reward_range": (1, 5)}, "--default-reward is 0, and --reward-range says"),
        (
            {"unresolved": "bounds", "window_s": None, "reward_range": (0, 1), "now": now(0)},
            "give --window-s with them",
        ),
        ({"unresolved": "refuse"}, "give --unresolved mature, ipcw or bounds with them"),
        ({"unresolved": "mature", "delay_by": "action"}, "--delay-by is read by --unresolved ipcw alone"),
        ({"unresolved": "ipcw", "delay_by": "colour"}, "there is no column 'colour'.*Name yours with --delay-by"),
        ({"unresolved": "mature", "at": "when"}, "there is no column 'when'.*Name yours with --at"),
        ({"unresolved": "mature", "rewarded_at": "then"}, "there is no column 'then'"),
        ({"unresolved": "mature", "window_s": 1_002}, r"the oldest decision is 1,001 s old at .*: none has the age of"),
        ({"unresolved": "ipcw", "now": now(999)}, "the oldest decision is 999 s old at .*the window, 1,000 s"),
    ],
)
def test_what_cannot_be_asked_says_what_can(asked, says):
    """Each question that does not go together, or not with this log, names the value and the way out."""
    with pytest.raises(InvalidRequest, match=says):
        evaluated(LOG, **asked)


def test_parts_are_cut_from_the_log_with_its_rewards():
    """One now and one delay distribution for the whole log: the young part is weighed by the delays of the old."""
    rows = [(-5_000, 100, 1.0)] * 30 + [(-5_000, 700, 1.0)] * 30 + [(0, 100, 1.0)] * 2 + [(0, None, None)] * 8
    log = by_hand(rows).rename({"at": "made"}).with_columns(age=pl.Series(["old"] * 60 + ["young"] * 10))
    delays = Delays(unresolved="ipcw", window_s=WINDOW, now=now(500), at="made")
    (found,) = evaluate_frame(
        log, Question(estimators=["ips"], delays=delays, segments=["age"], window="1h", against="target_propensity")
    ).values()
    parts = {part.value: part.evaluation.estimates[0].value for part in found.parts}
    assert [*parts] == ["old", "young", "2026-03-13T22:00:00Z", "2026-03-14T00:00:00Z"]
    assert [*parts.values()] == pytest.approx([1, 0.4, 1, 0.4])
    assert found.against.estimates[0].value == 0


def test_parts_have_bounds_of_their_own():
    """What is open in a part bounds it alone."""
    log = LOG.with_columns(first=pl.int_range(5) < 2)
    question = Question(
        estimators=["ips"], delays=Delays(unresolved="bounds"), reward_range=(0, 10), segments=["first"]
    )
    (found,) = evaluate_frame(log, question).values()
    parts = {part.value: part.evaluation.estimates[0].value_bounds for part in found.parts}
    assert parts == {"false": (pytest.approx(13 / 3), pytest.approx(23 / 3)), "true": (2.5, 7.5)}


def test_a_difference_of_policies_has_no_such_bounds():
    """Where the other policy weighs more, a larger reward lowers the difference."""
    question = Question(delays=Delays(unresolved="bounds"), reward_range=(0, 10), against="logged")
    with pytest.raises(InvalidRequest, match="--against logged: a difference of two policies may fall where a reward"):
        evaluate_frame(LOG, question)


def test_weighed_rewards_have_no_declared_range():
    """An interval for rewards of a declared range is refused with ipcw, and is there with mature."""
    question = Question(interval="eb_mixture", reward_range=(0, 10), delays=Delays(unresolved="ipcw", window_s=WINDOW))
    with pytest.raises(InvalidRequest, match="--interval eb_mixture is for rewards of a declared range"):
        evaluate_frame(LOG, question)
    question = Question(
        interval="eb_mixture", reward_range=(0, 10), delays=Delays(unresolved="mature", window_s=WINDOW, now=now(1_000))
    )
    (found,) = evaluate_frame(LOG, question).values()
    low, high = found.estimates[0].interval
    assert 0 <= low < 5 / 3 < high <= 10


def test_a_column_of_another_type_is_refused():
    """Times are no lists."""
    with pytest.raises(InvalidLog, match=r"column 'at' holds .*it must hold times"):
        evaluated(LOG.with_columns(at=pl.lit([1, 2])), unresolved="mature")


def test_no_rows_are_no_estimate():
    """An empty log is refused, not divided by."""
    with pytest.raises(InvalidLog, match="no rows; an estimate needs at least one decision"):
        evaluated(LOG.clear(), unresolved="mature")


def test_a_log_in_which_nothing_came_is_all_silence():
    """A column of nulls holds no times, and that is an answer."""
    log = LOG.with_columns(rewarded_at=pl.lit(None), reward=pl.lit(None, pl.Float64))
    assert evaluated(log, unresolved="mature", now=now(1_000), default_reward=2.0).estimates[0].value == 2.0


def test_the_json_and_the_table_say_how_open_decisions_counted(tmp_path):
    """`delayed` and `value_bounds` are there when asked for; the table shows both values."""
    path = tmp_path / "log.parquet"
    LOG.write_parquet(path)
    asked = ("--unresolved", "bounds", "--window-s", 1_000, "--now", now(1_000), "--reward-range", "0,9")
    report = json.loads(run(path, *asked, "--estimators", "ips", "--format", "json").stdout)
    assert list(report) == ["n", "estimates", "diagnostics", "delayed"]
    assert report["delayed"] | {"now": None} == {
        "unresolved": "bounds",
        "now": None,
        "window_s": 1000.0,
        "left_out": 0,
        "open": 1,
        "late": 0,
    }
    (estimate,) = report["estimates"]
    assert (estimate["value"], estimate["stderr"]) == (None, None)
    assert estimate["value_bounds"] == pytest.approx([9 / 5, 18 / 5])
    assert "1.8 … 3.6" in run(path, *asked, "--estimators", "ips").stdout


def test_a_log_larger_than_its_batches_streams(tmp_path):
    """Over 300,000 rows in file order, the delays and the estimate are those of the same rows in memory."""
    rng = np.random.default_rng(4)
    n = 300_000
    seconds, delay = rng.integers(0, 5_000, n), rng.integers(0, 2_000, n)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    log = pl.DataFrame({"s": seconds, "d": delay, "r": rng.random(n)}).select(
        at=pl.lit(start) + pl.duration(seconds="s"),
        rewarded_at=pl.when(pl.col("s") + pl.col("d") <= 5_000).then(
            pl.lit(start) + pl.duration(seconds=pl.col("s") + pl.col("d"))
        ),
        reward=pl.when(pl.col("s") + pl.col("d") <= 5_000).then("r"),
        propensity=pl.lit(0.5),
        target_propensity=pl.lit(0.5),
    )
    path = tmp_path / "log.parquet"
    log.write_parquet(path, row_group_size=10_000)
    asked = Question(
        estimators=["ips", "replay:1"], delays=Delays(unresolved="ipcw", window_s=WINDOW, now="2026-01-01T01:23:20Z")
    )
    (of_file,) = evaluate_files([path], asked).values()
    # Half of the delays are in the window, and the reward is 1/2 on average.
    assert of_file.estimates[0].value == pytest.approx(0.25, abs=5 * of_file.estimates[0].stderr)
    (of_frame,) = evaluate_frame(log, asked).values()
    assert [one.value for one in of_file.estimates] == pytest.approx(
        [one.value for one in of_frame.estimates], abs=1e-12
    )
