"""A broken file never crashes the linter: each broken line is a finding with its number, and the rest is judged."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import columns_only, healthy

from ope.diagnostics.lint import lint_files
from ope.diagnostics.question import Asked
from ope.diagnostics.roles import Roles
from ope.diagnostics.thresholds import DEFAULTS
from ope.errors import InvalidRequest


def found(path):
    """Return (code, rows) of each fault of a file."""
    return [(one.code, one.where.rows) for one in lint_files([path]).at_least("warn")]


def spoiled(row, **values):
    """Return a row as NDJSON with other values."""
    return json.dumps(json.loads(row) | values)


def test_broken_lines_of_ndjson(tmp_path):
    """Half a line, a list and a nested number are named by their rows; the rows behind keep their numbers."""
    lines = [json.dumps(row, default=str) for row in healthy(rows=300).to_dicts()]
    lines[4] = lines[4][:20]
    lines[7] = "[1, 2]"
    lines[11] = spoiled(lines[11], propensity={"x": 1})
    lines[12] = spoiled(lines[12], distribution="oops")
    lines[13] = spoiled(lines[13], distribution=[1, None, {"action": 3}])
    lines[299] = spoiled(lines[299], propensity=0)
    path = tmp_path / "log.ndjson"
    path.write_text("\n".join(lines))
    assert sorted(found(path)) == [
        ("distribution_invalid", (13, 14)),
        ("propensity_missing", (12,)),
        ("propensity_zero", (300,)),
        ("row_broken", (5, 8)),
    ]
    assert lint_files([path]).n == 298


def test_broken_lines_of_csv(tmp_path):
    """A line with too many cells and one with too few are named, an empty one is none; the rest is judged."""
    path = tmp_path / "log.csv"
    columns_only(rows=300).write_csv(path)
    lines = path.read_text().split("\n")
    lines[5] += ",1"
    lines[8] = "a,0.5"
    lines[9] = ""
    lines[300] = lines[300].replace("0.", "x.", 1)
    path.write_text("\n".join(lines))
    assert found(path) == [("row_broken", (5, 8)), ("propensity_missing", (300,))]
    assert lint_files([path]).n == 297


def test_a_log_without_one_whole_line(tmp_path):
    """A file of nothing but broken lines has no rows, and says so."""
    path = tmp_path / "log.ndjson"
    path.write_text("{\n[\n")
    assert found(path) == [("file_unreadable", ()), ("no_rows", ())]
    assert "no line is a JSON object" in lint_files([path]).findings[0].says


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:2000] + bytes(3000) + raw[5000:], lambda _: b""]
)
def test_a_file_that_cannot_be_read(tmp_path, spoil):
    """What holds no rows any more is a finding with the file's name; the other files are judged."""
    path, good = tmp_path / "log.parquet", tmp_path / "good.parquet"
    healthy().write_parquet(good)
    path.write_bytes(spoil(good.read_bytes()))
    lint = lint_files([good, path])
    assert [(one.code, one.where.file) for one in lint.at_least("warn")] == [("file_unreadable", str(path))]
    assert lint.n == healthy().height


def test_a_missing_column_suggests_the_closest(tmp_path):
    """A propensity under another name is named; an option for a column that is not there is a wrong question."""
    path = tmp_path / "log.parquet"
    healthy().rename({"propensity": "propensty"}).write_parquet(path)
    [missing] = lint_files([path]).at_least("warn")
    assert "Did you mean 'propensty'?" in missing.says
    assert "--propensity" in missing.way_out
    with pytest.raises(InvalidRequest, match=r"no column 'click'; it has .*'reward'"):
        lint_files([path], roles=Roles(reward="click"))
    with pytest.raises(InvalidRequest, match="no column 'land'"):
        lint_files([path], asked=Asked(DEFAULTS, segments=("land",)))
    with pytest.raises(InvalidRequest, match="--segment distribution holds List"):
        lint_files([path], asked=Asked(DEFAULTS, segments=("distribution",)))


NAMES = (
    "reward",
    "propensity",
    "action",
    "at",
    "distribution",
    "decision_id",
    "outcome",
    "trained",
    "loop",
    "row_weight",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["action", "propensity"]), inner),
    max_leaves=5,
)
LINES = st.dictionaries(st.sampled_from(NAMES), VALUES).map(json.dumps) | st.text(max_size=12)


@given(lines=st.lists(LINES, min_size=1, max_size=6))
def test_any_lines_can_be_linted(tmp_path_factory, lines):
    """Whatever stands in an NDJSON file, there is a report."""
    path = tmp_path_factory.mktemp("log") / "log.ndjson"
    path.write_text("\n".join(lines), errors="replace")
    lint_files([path])


@given(
    raw=st.binary(min_size=1, max_size=80)
    | st.binary(max_size=40).map(lambda tail: b"reward,propensity,at\n1,0.5,0\n" + tail)
)
def test_any_bytes_can_be_linted(tmp_path_factory, raw):
    """Whatever stands in a CSV file, there is a report."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_bytes(raw)
    lint_files([path])


KINDS = [
    pl.Int8,
    pl.Float32,
    pl.String,
    pl.Boolean,
    pl.Date,
    pl.Binary,
    pl.Null,
    pl.List(pl.Int64),
    pl.Categorical,
    pl.Duration,
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("role", Roles.__slots__)
def test_any_type_in_any_column_can_be_linted(tmp_path, kind, role):
    """A column of any type in the place of any role gives a report, never an exception."""
    path = tmp_path / "log.parquet"
    log = healthy(rows=20).with_columns(pl.Series(role, [None] * 20, dtype=kind))
    log.write_parquet(path)
    assert lint_files([path]).n == 20


def test_a_row_without_a_time_stands_in_no_period(tmp_path):
    """An open decision of unknown age counts as one without an outcome, and no period is blamed for it."""
    path = tmp_path / "log.parquet"
    log = healthy(rows=200)
    one = pl.int_range(pl.len()) == 100
    spoilt = log.with_columns(
        at=pl.when(~one).then("at"), reward=pl.when(~one).then("reward"), outcome=pl.when(~one).then("outcome")
    )
    spoilt.write_parquet(path)
    found = {finding.code: finding for finding in lint_files([path]).findings}
    assert found["rewards_missing"].value == pytest.approx(1 / 200)
    assert found["time_invalid"].where.rows == (101,)
