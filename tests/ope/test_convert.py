"""`ope convert`: what a format carries comes back, what it does not is listed, and nothing is half written."""

import json
import math
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from random_logs import logs
from typer.testing import CliRunner

from bandit.cli.ope import app
from bandit.export import SCHEMA
from ope.convert import convert
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files
from ope.formats.columns import LOG_COLUMNS
from ope.formats.guess import FORMATS
from ope.formats.targets import TARGETS
from ope.question import Question

JSON_COLUMNS = ("context", "actions")
PAIR = [{"action": "a", "propensity": 0.25}, {"action": "b", "propensity": 0.75}]
ROW = {
    "decision_id": "d-1",
    "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "context": '{"user":{"age":30.5}}',
    "actions": '[{"id":"a","features":{"x":{"f":1.0}}},{"id":"b","features":{"x":{"f":2.0}}}]',
    "distribution": PAIR,
    "predicted_rewards": [0.5, 0.25],
    "action": "b",
    "propensity": 0.75,
    "explored": False,
    "reward": -0.5,
    "outcome": "rewarded",
    "slot": 0,
    "policy": "linear_ts",
    "model_version": "line@7",
}


def write(path, rows, **columns):
    """Write rows under the log's own types, and other columns as they are."""
    frame = pl.DataFrame(rows, schema={name: LOG_COLUMNS[name] for name in rows[0]})
    frame.with_columns(**columns).write_parquet(path)
    return path


def read(path, folder, kind=None):
    """Return what a file says, by way of Parquet."""
    convert([path], folder / "back.parquet", source=kind)
    return pl.read_parquet(folder / "back.parquet")


def back_and_forth(rows, kind):
    """Write rows in a format and read them back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder / "log.parquet", rows)
        done = convert([path], folder / "there", target=kind)
        assert done.rows == len(rows)
        return read(folder / "there", folder, kind), done


def assert_same(rows, found, columns):
    """The columns hold what they held, JSON text by what it says."""
    expected = pl.DataFrame(rows, schema={name: LOG_COLUMNS[name] for name in rows[0]})
    for name in columns:
        if name in JSON_COLUMNS:
            said = [json.loads(text) for text in found[name]]
            assert said == [json.loads(text) for text in expected[name]], name
        else:
            assert_frame_equal(found.select(name), expected.select(name), rel_tol=1e-12, abs_tol=0)


@given(logs())
@pytest.mark.parametrize("kind", ["parquet", "ndjson", "csv"])
def test_own_formats_carry_every_column(kind, rows):
    """Parquet, NDJSON and CSV give back all that they were given, to the last digit."""
    found, done = back_and_forth(rows, kind)
    assert set(found.columns) == set(rows[0])
    assert_same(rows, found, rows[0])
    assert (done.lost, done.partly) == ({}, {})


@given(logs())
def test_dsjson_carries_what_it_says(rows):
    """What the table of DSJSON calls carried comes back, the ids and the order of the distribution with it."""
    found, done = back_and_forth(rows, "dsjson")
    assert_same(rows, found, [name for name in rows[0] if name in TARGETS["dsjson"].carries])
    assert done.lost == {}


@given(logs("places"))
def test_cb_adf_carries_what_it_says(rows):
    """Features of namespaces and numbers, places as ids, propensities and rewards come back."""
    rows = [row | {"distribution": row["distribution"]} for row in rows]
    found, done = back_and_forth(rows, "vw-cb-adf")
    columns = [name for name in rows[0] if name in TARGETS["vw-cb-adf"].carries and name not in JSON_COLUMNS]
    assert_same(rows, found, columns)
    for name in JSON_COLUMNS:
        said = [without_empty(json.loads(text)) for text in found[name]]
        assert said == [without_empty(json.loads(text)) for text in pl.DataFrame(rows)[name]]
    assert set(done.lost) <= {"decision_id", "at", "distribution", "model_version", "row_weight"}


def without_empty(value):
    """A namespace without features is none in VW's text."""
    if isinstance(value, dict):
        return {key: without_empty(inner) for key, inner in value.items() if inner != {} or key == "features"}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


@given(logs("places"))
def test_cb_carries_what_it_says(rows):
    """Action, propensity and reward come back."""
    found, _ = back_and_forth(rows, "vw-cb")
    assert_same(rows, found, ["action", "propensity", "reward"])


@given(logs("places"))
def test_open_bandit_carries_what_it_says(rows):
    """Time, item, position, click and propensity come back."""
    rows = [row | {"slot": place % 3} for place, row in enumerate(rows)]
    found, done = back_and_forth(rows, "open-bandit")
    assert_same(rows, found, ["at", "action", "propensity", "reward", "slot"])
    assert "row_weight" not in done.lost or any(row["row_weight"] != 1 for row in rows)


def test_open_bandit_keeps_user_features(tmp_path):
    """Of the context, the four user features are the data set's."""
    path = write(tmp_path / "log.parquet", [ROW | {"context": '{"user_feature_1": "x", "other": 1}'}])
    done = convert([path], tmp_path / "obd.csv", target="open-bandit")
    assert json.loads(read(tmp_path / "obd.csv", tmp_path)["context"][0])["user_feature_1"] == "x"
    assert done.partly == {"context": "only user_feature_0 to user_feature_3"}


def test_open_bandit_files_are_read(tmp_path):
    """Positions count from 1, slots from 0; the items' affinities say how many there are; own names still work."""
    path = tmp_path / "men.csv"
    path.write_text(
        ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0,user-item_affinity_1\n"
        "0,2019-11-24 00:00:17.004101+00:00,13,3,1,0.25,abc,0,1\n"
        "1,2019-11-24 00:00:18+00:00,2,1,0,0.5,abc,0,1\n"
    )
    found = read(path, tmp_path)
    assert found["slot"].to_list() == [2, 0]
    assert found["n_actions"].to_list() == [2, 2]
    assert found["at"][0] == datetime(2019, 11, 24, 0, 0, 17, 4101, tzinfo=UTC)
    assert found["context"][0] == '{"user_feature_0":"abc"}'
    assert evaluate_files([path], Question(policies=["fixed:13"]))["fixed:13"].estimates[0].value == pytest.approx(2.0)


def test_losses_are_counted(tmp_path):
    """Each column that held something and is not carried is named with its rows; nulls and defaults are no loss."""
    rows = [ROW, ROW | {"policy": None}, ROW | {"outcome": "expired", "policy": None}]
    done = convert([write(tmp_path / "log.parquet", rows)], tmp_path / "log.dsjson")
    assert done.lost == {"predicted_rewards": 3, "explored": 3, "outcome": 1, "slot": 3, "policy": 1}
    assert set(done.partly) == {"actions", "context"}


def test_columns_that_nobody_knows_are_kept_or_lost_by_name(tmp_path):
    """A column of one's own survives in our formats and is listed for others."""
    path = write(tmp_path / "log.parquet", [ROW], shop=pl.lit("north"))
    assert convert([path], tmp_path / "a.ndjson").lost == {}
    assert read(tmp_path / "a.ndjson", tmp_path)["shop"].to_list() == ["north"]
    assert convert([path], tmp_path / "a.dsjson").lost["shop"] == 1


def test_every_column_of_the_export_is_known():
    """What `honeyguide export` writes has the same type here."""
    assert {name: kind for name, kind in SCHEMA.items() if LOG_COLUMNS.get(name) != kind} == {}


def test_files_of_different_formats_become_one(tmp_path):
    """Columns are joined by name; what one file lacks is null."""
    write(tmp_path / "a.parquet", [ROW])
    convert([tmp_path / "a.parquet"], tmp_path / "b.dsjson")
    done = convert([tmp_path / "a.parquet", tmp_path / "b.dsjson"], tmp_path / "both.ndjson")
    found = read(tmp_path / "both.ndjson", tmp_path)
    assert done.sources == ("parquet", "dsjson")
    assert found["policy"].to_list() == ["linear_ts", None]
    assert found["decision_id"].to_list() == ["d-1", "d-1"]


def test_estimates_do_not_change_on_the_way(tmp_path):
    """The same log says the same of a policy in every format that has what the policy needs."""
    rows = [
        ROW | {"action": pair["action"], "propensity": pair["propensity"], "reward": r}
        for pair in PAIR
        for r in (0.25, 2)
    ]
    path = write(tmp_path / "log.parquet", rows)
    expected = [
        one.value
        for one in evaluate_files([path], Question(policies=["uniform"], estimators=["ips", "snips"]))[
            "uniform"
        ].estimates
    ]
    for kind in ("ndjson", "csv", "dsjson", "vw-cb-adf"):
        out = tmp_path / f"log.{kind}"
        convert([path], out, target=kind)
        found = evaluate_files([out], Question(policies=["uniform"], log_format=kind, estimators=["ips", "snips"]))[
            "uniform"
        ]
        assert [one.value for one in found.estimates] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"reward": None}, "dsjson", "reward is None; a reward is a finite number"),
        ({"reward": math.nan}, "vw-cb-adf", "reward is nan"),
        ({"propensity": 0.0}, "vw-cb-adf", "propensity is 0.0"),
        ({"propensity": 0.5}, "dsjson", "propensity is 0.5, the distribution says 0.75"),
        ({"action": None}, "open-bandit", "action is None"),
        ({"action": "z"}, "dsjson", "action is 'z', the actions are"),
        ({"distribution": [PAIR[0], PAIR[0]]}, "dsjson", "an action stands in a decision once"),
        ({"context": "[1]"}, "dsjson", "context is '[1]'; it is a JSON object, as text"),
        ({"context": '{"_multi": 1}'}, "dsjson", "the context has a key `_multi`"),
        ({"actions": "{}"}, "dsjson", "it is a list of {id, features}, as text"),
        ({"action": "b"}, "vw-cb", "action is 'b'; vw-cb knows actions by number"),
    ],
)
def test_rows_that_a_format_cannot_say_are_refused_or_reported(tmp_path, change, kind, said):
    """The row is named; nothing is written unless such rows are to be left out, and then they are listed."""
    good = ROW if kind != "vw-cb" else ROW | {"action": "1"}
    path = write(tmp_path / "log.parquet", [good, good | change, good])
    out = tmp_path / "out"
    with pytest.raises(InvalidLog) as refused:
        convert([path], out, target=kind)
    assert said in str(refused.value)
    assert f"{path}: row 2: " in str(refused.value)
    assert sorted(tmp_path.iterdir()) == [path]
    done = convert([path], out, target=kind, on_bad_rows="report")
    assert (done.rows, done.asides.broken) == (2, 1)
    assert said in str(done.asides.shown[0])


def test_cells_of_the_wrong_type_are_refused_or_reported(tmp_path):
    """Text where a number is due does not become null; the row is named."""
    path = tmp_path / "log.csv"
    path.write_text("action,propensity,reward,slot,at\na,0.5,1,0,2026-01-01T00:00:00Z\na,half,1,0,now\n")
    with pytest.raises(InvalidLog, match=r"row 2: propensity is 'half'; the column holds Float64"):
        convert([path], tmp_path / "log.parquet")
    done = convert([path], tmp_path / "log.parquet", on_bad_rows="report")
    assert (done.rows, done.asides.broken) == (1, 1)
    assert [str(row).split(": ", 2)[2] for row in done.asides.shown] == [
        "propensity is 'half'; the column holds Float64",
        "at is 'now'; the column holds Datetime(time_unit='us', time_zone='UTC')",
    ]


def test_a_failure_leaves_no_trace(tmp_path, monkeypatch):
    """An existing file stays as it was when a conversion fails, and its beginnings are gone."""
    path = write(tmp_path / "log.parquet", [ROW] * 3)
    out = tmp_path / "log.dsjson"
    out.write_text("as it was")

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert([path], out, progress=interrupted)
    assert out.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == [out, path]


def test_chunks_are_written_one_by_one(tmp_path, monkeypatch):
    """Memory is bounded by a chunk: progress is told after each."""
    monkeypatch.setattr("ope.convert.CHUNK", 10)
    path = write(tmp_path / "log.parquet", [ROW | {"reward": float(i)} for i in range(35)])
    told = []
    convert([path], tmp_path / "log.dsjson", progress=told.append)
    assert told == [10, 20, 30, 35]
    assert read(tmp_path / "log.dsjson", tmp_path)["reward"].to_list() == [float(i) for i in range(35)]


def test_rows_are_numbered_through_all_chunks(tmp_path, monkeypatch):
    """A bad row of the third chunk has its number in the file."""
    monkeypatch.setattr("ope.convert.CHUNK", 10)
    path = write(tmp_path / "log.parquet", [ROW | {"reward": None if i == 25 else 1.0} for i in range(1, 36)])
    with pytest.raises(InvalidLog, match="row 25: reward is None"):
        convert([path], tmp_path / "log.dsjson")


def test_dsjson_is_written_by_rank(tmp_path):
    """`a` begins with the chosen action and goes on with the likeliest, from 1; `p` follows it."""
    spread = [{"action": i, "propensity": p} for i, p in (("u", 0.1), ("v", 0.2), ("w", 0.7))]
    path = write(tmp_path / "log.parquet", [ROW | {"distribution": spread, "action": "v", "propensity": 0.2}])
    convert([path], tmp_path / "log.dsjson")
    line = json.loads((tmp_path / "log.dsjson").read_text())
    assert (line["a"], line["p"]) == ([2, 3, 1], [0.2, 0.7, 0.1])
    assert (line["_label_Action"], line["_labelIndex"], line["_label_cost"]) == (2, 1, 0.5)
    assert [action["_tag"] for action in line["c"]["_multi"]] == ["u", "v", "w"]


def test_what_cannot_be_asked(tmp_path):
    """Each question that makes no sense is refused with the way out."""
    path = write(tmp_path / "log.parquet", [ROW])
    bare = tmp_path / "bare.csv"
    bare.write_text("reward,propensity\n1,0.5\n")
    for arguments, said in [
        (([path], tmp_path / "out.txt"), "the name does not tell the format"),
        (([path], path), "is one of the files that are read"),
        (([tmp_path / "none.csv"], tmp_path / "a.csv"), "no such file"),
        (([path], tmp_path / "no folder" / "a.csv"), "cannot be written"),
        (([bare], tmp_path / "a.dsjson"), "dsjson needs action, and the log has reward, propensity"),
    ]:
        with pytest.raises(InvalidRequest, match=said):
            convert(*arguments)
    with pytest.raises(InvalidRequest, match="--to magic: no such format"):
        convert([path], tmp_path / "a", target="magic")
    with pytest.raises(InvalidRequest, match="--on-bad-rows ignore: there is no such way"):
        convert([path], tmp_path / "a.csv", on_bad_rows="ignore")


def run(*arguments):
    """Run `ope convert` in this process."""
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_the_command_says_what_was_lost(tmp_path):
    """One line on stdout, the losses on stderr, exit 0."""
    path = write(tmp_path / "log.parquet", [ROW])
    result = run(path, "--out", tmp_path / "log.vw", "--to", "vw-cb-adf")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'log.vw'}: 1 rows, parquet to vw-cb-adf.\n"
    assert "vw-cb-adf does not carry: decision_id (1 rows), at (1 rows), distribution (1 rows)" in result.stderr
    assert "vw-cb-adf carries action in part: as its place among the actions, from 1" in result.stderr


def test_the_command_prints_json(tmp_path):
    """The whole report, and the bad rows in it."""
    path = write(tmp_path / "log.parquet", [ROW, ROW | {"reward": None}])
    result = run(path, "--out", tmp_path / "a.dsjson", "--on-bad-rows", "report", "--format", "json")
    report = json.loads(result.stdout)
    assert list(report) == ["out", "from", "to", "rows", "lost", "partly", "left_out", "bad_rows"]
    assert report["bad_rows"]["count"] == 1
    assert report["bad_rows"]["rows"][0]["row"] == 2


def test_exit_codes(tmp_path):
    """1 where a row is invalid, 2 where the question is."""
    path = write(tmp_path / "log.parquet", [ROW | {"reward": None}])
    assert run(path, "--out", tmp_path / "a.dsjson").exit_code == 1
    assert run(path, "--out", tmp_path / "a").exit_code == 2
    assert run(path).exit_code == 2


def test_every_format_and_loss_is_documented(request):
    """The reference has a row for each column, and a column for each format, that say what is carried."""
    page = (request.config.rootpath / "docs/reference/log-formats.md").read_text()
    table = page.split("## What each format carries")[1].split("\n## ")[0]
    header, _, *rows = [line for line in table.splitlines() if line.startswith("|")]
    formats = [cell.strip(" `") for cell in header.split("|")[2:-1]]
    assert formats == list(FORMATS)
    told = {}
    for row in rows:
        name, *cells = [cell.strip(" `") for cell in row.split("|")[1:-1]]
        told[name] = dict(zip(formats, cells, strict=True))
    known = [name for name in LOG_COLUMNS if not name.startswith("honeyguide")]
    assert list(told) == known
    for kind, target in TARGETS.items():
        for name in known:
            carried = target.carries is None or name in target.carries
            expected = "in part" if name in target.partly else "yes" if carried else "no"
            assert (name, kind, told[name][kind]) == (name, kind, expected)


def test_a_cell_that_is_none_of_its_column_is_reported(tmp_path):
    """What is no time, number or list stands in the list of bad rows: nothing becomes null on the way."""
    path = tmp_path / "log.ndjson"
    good = {
        "action": "a",
        "at": "2026-01-01T00:00:00Z",
        "n_actions": 3,
        "distribution": [{"action": "a", "propensity": 1}],
    }
    bad = ({"at": "yesterday"}, {"n_actions": "x"}, {"distribution": "oops"}, {"distribution": [1]})
    path.write_text("\n".join(json.dumps(good | change) for change in ({}, *bad, {})))
    done = convert([path], tmp_path / "again.ndjson", on_bad_rows="report")
    assert (done.rows, done.asides.broken) == (2, 4)
    assert [(row.row, row.value.partition(" is ")[0]) for row in done.asides.shown] == [
        (2, "at"), (3, "n_actions"), (4, "distribution"), (5, "distribution"),
    ]  # fmt: skip
