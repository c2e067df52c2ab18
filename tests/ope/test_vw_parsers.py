"""Vowpal Wabbit's parsers and ours agree: on what we write, and on lines with its quirks."""

import json
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from random_logs import logs

if sys.version_info >= (3, 13):
    pytest.skip("vowpal-wabbit-next has no wheel for this Python", allow_module_level=True)

import vw_labels

from ope.convert import convert
from ope.formats import dsjson
from ope.formats.columns import LOG_COLUMNS
from ope.formats.lines import lines_of
from ope.formats.vw_text import read_adf, read_cb

FLOAT32 = 1e-6
"""VW keeps numbers in single precision."""

LINE = {
    "_label_cost": -2.0,
    "_label_probability": 0.1,
    "_label_Action": 3,
    "_labelIndex": 2,
    "a": [3, 1, 2],
    "c": {"User": {"age": 30}, "_multi": [{"_tag": "tea", "f": 1}, {"_tag": "tea", "f": 2}, {"f": 3}]},
    "p": [0.1, 0.7, 0.2],
}


def assert_agree(ours, theirs):
    """Each column that VW tells is the same in ours."""
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        assert own["action"] == other["action"]
        for name in set(other) - {"action"}:
            # VW takes a number with a large negative exponent for 0.
            assert own[name] == pytest.approx(other[name], rel=FLOAT32, abs=1e-20), name


def written(rows, kind):
    """The text that convert writes, and what our reader makes of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame(rows, schema={name: LOG_COLUMNS[name] for name in rows[0]}).write_parquet(folder / "log.parquet")
        convert([folder / "log.parquet"], folder / "out", target=kind)
        reader = {"dsjson": dsjson.read, "vw-cb": read_cb, "vw-cb-adf": read_adf}[kind]
        return (folder / "out").read_text(), list(reader(lines_of(folder / "out"), name="out"))


@given(logs("places"))
def test_dsjson_that_we_write(rows):
    """VW finds the action, cost, probability and weight in our DSJSON."""
    text, ours = written(rows, "dsjson")
    assert_agree(ours, list(vw_labels.of_dsjson(text.removesuffix("\n").split("\n"))))


@given(logs("places"))
def test_adf_text_that_we_write(rows):
    """VW finds the chosen line, its cost and probability in our blocks."""
    text, ours = written(rows, "vw-cb-adf")
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    theirs = [{name: label[name] for name in label if name != "row_weight"} for label in vw_labels.of_adf(blocks)]
    assert_agree(ours, theirs)


@given(logs("places"))
def test_cb_text_that_we_write(rows):
    """VW finds the action, cost and probability in our lines."""
    text, ours = written(rows, "vw-cb")
    assert_agree(ours, list(vw_labels.of_cb(text.splitlines())))


@pytest.mark.parametrize(
    "change",
    [{}, {"pdrop": 0.9}, {"_label_cost": 0}, {"a": [3, 2, 1], "p": [0.1, 0.2, 0.7]}, {"_label_probability": 0.1000001}],
    ids=str,
)
def test_dsjson_with_quirks(change):
    """By hand: rank order, pdrop and a label that was rounded."""
    line = json.dumps(LINE | change)
    (theirs,) = vw_labels.of_dsjson([line])
    assert_agree(list(dsjson.read([(1, line.encode())], name="log")), [theirs])


@pytest.mark.parametrize(
    "line", ["1:2:0.5 | a b", "2:-1:0.25 'tag|ns a:2", "3:0:1 tag| a", "7:1e-3:5e-1 | a", "1:1:5e-05 1:2| a"]
)
def test_cb_text_with_quirks(line):
    """By hand: tags and numbers of any shape."""
    assert_agree(list(read_cb([(1, line.encode())], name="log")), list(vw_labels.of_cb([line])))
