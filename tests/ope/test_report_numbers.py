"""Numbers, axes and narrow terminals: what is shown can be read and told apart, and no digit is cut off."""

import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import healthy
from rich.console import Console

from ope.evaluate import evaluate_frame
from ope.question import Question
from ope.report.html.plots import Mark
from ope.report.html.scale import tick_names, window
from ope.report.numbers import percent, plain, together
from ope.report.table import print_report, told_once


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0.38123, "0.3812"), (1_234_567, "1,235,000"), (1.2e-7, "1.2×10⁻⁷"), (-12.5, "−12.5"), (0, "0"), (3e9, "3×10⁹"),
        (100, "100"), (9.99996, "10"), (0.1, "0.1"), (math.nan, "–"), (-math.inf, "–"), (None, "–"),
    ],
)  # fmt: skip
def test_plain_numbers(value, says):
    """Four digits, powers only where they must be, a dash for what is undefined."""
    assert plain(value) == says


def test_numbers_that_are_compared_differ():
    """Value and bounds have the digits in which they differ, however large they are."""
    assert together([0.38123, 0.33, 0.43]) == ["0.381", "0.330", "0.430"]
    assert together([123_456_789.123, 123_456_789.1, 123_456_789.15]) == [
        "123,456,789.1230", "123,456,789.1000", "123,456,789.1500",
    ]  # fmt: skip
    assert together([-0.00001, -1.0, 1.0]) == ["0.00", "−1.00", "1.00"]
    assert together([0.5, math.nan, math.nan]) == ["0.5", "–", "–"]
    assert together([1e-9, -1e-9, 2e-9]) == ["1×10⁻⁹", "−1×10⁻⁹", "2×10⁻⁹"]
    assert together([1_234_567.0, 1_100_000.0, 1_300_000.0]) == ["1,235,000", "1,100,000", "1,300,000"]


def test_shares():
    """Whole percents but for small ones; a little is not nothing."""
    assert [percent(x) for x in (0.0, 1e-6, 0.0149, 0.5, 1.0, math.nan)] == ["0%", "< 0.1%", "1.5%", "50%", "100%", "–"]


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e6), st.integers(2, 6))
def test_ticks_have_names_of_their_own(start, step, count):
    """Two ticks never have the same name, unless they are the same number to fifteen digits."""
    places = [start + i * step for i in range(count)]
    if len({f"{place:.14g}" for place in places}) == count:
        assert len(set(tick_names(places))) == count


MARKS = st.builds(
    lambda value, low, high: Mark("", value, value - low, value + high),
    st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1e6),
)  # fmt: skip


@given(st.lists(st.lists(MARKS, max_size=8), max_size=3))
def test_an_axis_shows_half_of_each_group_at_least(groups):
    """What is cut off are outliers: the middle value of every group is on the axis, which has a length."""
    low, high = window(groups)
    assert low < high
    for marks in groups:
        values = sorted(mark.value for mark in marks)
        if values:
            assert low <= values[len(values) // 2] <= high
            assert sum(low <= value <= high for value in values) >= len(values) / 2


def test_a_huge_interval_squeezes_no_other():
    """The axis is that of the others, and an axis of one point has a length."""
    marks = [Mark("", 0.4 + i / 100, 0.35, 0.5) for i in range(7)]
    assert window([[*marks, Mark("", 0.4, -1e8, 1e9)]])[1] < 2
    low, high = window([[Mark("", 5.0)]])
    assert low < 5 < high


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_number_is_cut_in_a_narrow_terminal(width):
    """The same numbers stand in the report at every width; only standard errors and row counts may be left out."""
    asked = Question(policies=["uniform", "fixed:a"], against="logged", segments=["country"])
    report = evaluate_frame(healthy(rows=300), asked)
    with_room, narrow = (_printed(report, columns) for columns in (200, width))
    assert "…" not in narrow.replace(" … ", "")
    cut = set(re.findall(r"-?[\d.]+ … -?[\d.]+", with_room))
    assert len(cut) > 20
    assert cut <= set(re.findall(r"-?[\d.]+ … -?[\d.]+", narrow))


def _printed(report, width):
    console = Console(width=width, record=True, file=io.StringIO())
    print_report(report, console)
    return console.export_text()


def test_notes_of_several_estimators_are_told_once():
    """What is said of each of them is said of all; other notes stay as they are."""
    notes = ["ips: chose 2", "dr: chose 2", "left out 3 lines: blank", "snips: chose 4"]
    assert told_once(notes) == ["ips, dr: chose 2", "left out 3 lines: blank", "snips: chose 4"]
