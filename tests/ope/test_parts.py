"""Segments of a column and windows of time, each judged alone."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rich.console import Console
from small_logs import log

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.question import Question
from ope.report.exact_json import evaluation_as_json, report_as_json
from ope.report.table import report_as_table

FRAME = log(600, seed=11)
TIMES = [dt.datetime(2026, 1, 1, hour, 30, tzinfo=dt.UTC) for hour in (0, 12)]


def parts(frame, **options):
    """Return the single target's parts."""
    (evaluation,) = evaluate_frame(frame, Question(**{"policies": ["fixed:a"], **options})).values()
    return evaluation.parts


def assert_same(one, other):
    """The same JSON, numbers to 1e-10: engines add up in any order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    else:
        assert one == (pytest.approx(other, rel=1e-10, abs=1e-12) if isinstance(other, float) else other)


def test_a_segment_is_what_its_rows_alone_say():
    """Every number of a part is that of a log of its rows; of all parts together, the log's number of rows."""
    found = parts(FRAME, segments=["device"], against="logged")
    assert sum(part.evaluation.n for part in found) == FRAME.height
    for part in found:
        own = FRAME.filter(pl.col("device") == part.value)
        (alone,) = evaluate_frame(own, Question(policies=["fixed:a"], against="logged")).values()
        assert_same(evaluation_as_json(part.evaluation), evaluation_as_json(alone))


def test_segments_by_how_common_they_are():
    """The commonest is the first; those without a value are a part, whose value is None."""
    frame = FRAME.with_columns(device=pl.Series(["x"] * 100 + ["y"] * 200 + [None] * 300))
    found = parts(frame, segments=["device"])
    assert [(part.column, part.value, part.evaluation.n) for part in found] == [
        ("device", None, 300),
        ("device", "y", 200),
        ("device", "x", 100),
    ]


def test_a_column_of_very_many_values():
    """49 are judged alone, and all others are one part, those without a value among them."""
    values = [None if i % 60 == 59 else f"user-{i % 60}" for i in range(600)]
    found = parts(FRAME.with_columns(user=pl.Series(values)), segments=["user"], estimators=["ips"])
    assert len(found) == 50
    assert (found[-1].value, found[-1].evaluation.n) == ("(others)", 110)
    assert sum(part.evaluation.n for part in found) == 600


def test_a_segment_inside_json():
    """`context.of.age` looks into the column `context`."""
    found = parts(FRAME, segments=["context.of.age"], estimators=["ips"])
    ages = FRAME["context"].map_elements(lambda text: json.loads(text)["of"]["age"], return_dtype=pl.Int64)
    assert {part.value: part.evaluation.n for part in found} == {
        str(age): int((ages == age).sum()) for age in (1, 2, 3)
    }


def test_numbers_and_truths_are_segments():
    """A column of any plain type is cut by its values as text."""
    found = parts(FRAME.with_columns(big=pl.int_range(pl.len()) % 2 == 0), segments=["big"], estimators=["ips"])
    assert sorted(str(part.value) for part in found) == ["false", "true"]


def test_windows_are_in_order_and_whole():
    """A day begins at midnight in UTC; each window's rows are those of its time."""
    found = parts(FRAME, window="1d", estimators=["ips"])
    assert [part.value for part in found] == sorted(part.value for part in found)
    for part in found:
        start = dt.datetime.fromisoformat(part.value).replace(tzinfo=None)
        inside = FRAME.filter(pl.col("at").is_between(start, start + dt.timedelta(days=1), closed="left"))
        assert part.evaluation.n == inside.height
    assert found[0].value == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize("as_text", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+01:00"])
def test_windows_of_times_in_text(tmp_path, as_text):
    """Times in text are read as they say, with their zone."""
    frame = pl.DataFrame(
        {
            "at": [time.strftime(as_text) for time in TIMES],
            "reward": [1.0, 0.0],
            "propensity": [0.5, 0.5],
            "target_propensity": [0.5, 0.5],
        }
    )
    frame.write_csv(tmp_path / "log.csv")
    (found,) = evaluate_files([tmp_path / "log.csv"], Question(window="1d", estimators=["ips"])).values()
    starts = [part.value for part in found.parts]
    first = "2026-01-01T00:00:00Z" if as_text.endswith("Z") else "2025-12-31T00:00:00Z"
    assert starts == sorted({first, "2026-01-01T00:00:00Z"})


def test_segments_and_windows_of_pandas():
    """A pandas frame is cut like a polars one."""
    frame = FRAME.drop("distribution", "predicted_rewards").with_columns(target_propensity=pl.lit(0.25))
    asked = Question(segments=["device"], window="2d", estimators=["ips"])
    (expected,) = evaluate_frame(frame, asked).values()
    (found,) = evaluate_frame(pd.DataFrame(frame.to_dict(as_series=False)), asked).values()
    assert [(part.column, part.value, part.evaluation.n) for part in found.parts] == [
        (part.column, part.value, part.evaluation.n) for part in expected.parts
    ]


def test_an_action_that_a_segment_does_not_have():
    """It earns nothing there, which is no reason to refuse the log."""
    frame = FRAME.with_columns(device=pl.when(pl.col("action") == "a").then(pl.lit("x")).otherwise(pl.lit("y"))).drop(
        "distribution", "predicted_rewards"
    )
    found = {part.value: part.evaluation for part in parts(frame, segments=["device"], estimators=["ips"])}
    assert found["y"].estimates[0].value == 0


def test_bad_rows_are_told_once():
    """They are listed for the log with their row numbers, and left out of its parts."""
    spoilt = FRAME.with_columns(
        propensity=pl.when(pl.int_range(pl.len()) == 7).then(2.0).otherwise("propensity"),
        device=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("only here")).otherwise("device"),
    )
    asked = Question(policies=["fixed:a"], segments=["device"], on_bad_rows="report", estimators=["ips"])
    (found,) = evaluate_frame(spoilt, asked).values()
    assert [row.row for row in found.bad_rows.shown] == [8]
    assert {part.value for part in found.parts} == {"phone", "desk"}
    assert all(part.evaluation.bad_rows is None for part in found.parts)
    assert sum(part.evaluation.n for part in found.parts) == found.n == 599


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"segments": ["devise"]}, "Did you mean --segment device"),
        ({"segments": ["distribution"]}, "a segment is one plain value"),
        ({"segments": ["action.x"]}, None),
        ({"segments": ["n.x"]}, "no column 'n'"),
        ({"window": "0d"}, "a length of time is a number and s, m, h, d or w"),
        ({"window": "day"}, "a length of time is"),
        ({"window": "1s"}, None),
    ],
)
def test_what_cannot_be_cut(options, says):
    """A column that is not there or holds lists, and a window that is no length, are refused with the way out."""
    if says is None:
        assert parts(FRAME, estimators=["ips"], **options)
        return
    with pytest.raises(InvalidRequest, match=says):
        parts(FRAME, **options)


def test_windows_need_times():
    """A column of something else is named."""
    with pytest.raises(InvalidLog, match="no times; windows are cut by time"):
        parts(FRAME.with_columns(at=pl.lit(value=True)), window="1d")
    with pytest.raises(InvalidRequest, match="no column 'at'"):
        parts(FRAME.drop("at"), window="1d")


def test_too_many_windows():
    """More than a thousand are refused, with the way out."""
    times = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 3, 1), "1h", eager=True)
    frame = pl.DataFrame({"at": times, "reward": 1.0, "propensity": 0.5, "target_propensity": 0.5})
    with pytest.raises(InvalidRequest, match="1,417 windows; at most 1,000 are judged"):
        evaluate_frame(frame, Question(window="1h"))


def test_the_json_and_the_table():
    """A part is an evaluation with its column and value; the table shows one estimator of each."""
    report = evaluate_frame(FRAME, Question(policies=["fixed:a", "uniform"], segments=["device"], against="logged"))
    found = report_as_json(report)["policies"]["uniform"]["parts"]
    assert {part["column"] for part in found} == {"device"}
    assert found[0].keys() == {"column", "value", "n", "estimates", "diagnostics", "against"}
    console = Console(width=120, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(report_as_table(report))
    shown = capture.get()
    assert "uniform by device, dr" in shown
    assert "The same less logged, on the same rows" in shown
    assert shown.count("phone") == 2


def test_the_error_in_a_segment_is_that_of_its_rows():
    """Over 200 logs, 95% intervals of a segment miss its own value at most 21 times (seed 12).

    One that misses 5% of the time does so more often with a probability of 5e-4.
    """
    rng, missed = np.random.default_rng(12), 0
    for _ in range(200):
        arm, device = rng.integers(2, size=300), rng.integers(2, size=300)
        reward = (rng.random(300) < 0.3 + 0.2 * device * arm).astype(float)
        frame = pl.DataFrame({"reward": reward, "propensity": 0.5, "target_propensity": arm, "device": device})
        (found,) = evaluate_frame(frame, Question(estimators=["snips"], segments=["device"])).values()
        low, high = next(part.evaluation.estimates[0].interval for part in found.parts if part.value == "1")
        missed += not low <= 0.5 <= high
    assert missed <= 21
