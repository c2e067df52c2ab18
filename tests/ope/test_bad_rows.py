"""`--on-bad-rows report`: what breaks a rule is counted and listed, in every format, and refused by default."""

import gzip
import json

import polars as pl
import pytest
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.errors import InvalidLog
from ope.evaluate import evaluate_files, evaluate_frame
from ope.formats.dsjson import NOT_SHOWN
from ope.question import Question

GOOD = {"reward": 1.0, "propensity": 0.5, "target_propensity": 0.5}
ROWS = [GOOD, GOOD | {"propensity": 0.0}, GOOD | {"reward": None}, GOOD | {"reward": 3.0}]
WRITERS = {
    "log.parquet": pl.DataFrame.write_parquet,
    "log.csv": pl.DataFrame.write_csv,
    "log.ndjson": pl.DataFrame.write_ndjson,
}


def listed(evaluation):
    """The row numbers and what is said of them."""
    return [(row.row, f"{row.value}; {row.rule}") for row in evaluation.bad_rows.shown]


@pytest.mark.parametrize("name", WRITERS)
def test_bad_rows_are_counted_and_listed(tmp_path, name):
    """The good rows are judged, the bad ones named with number, value and rule."""
    path = tmp_path / name
    WRITERS[name](pl.DataFrame(ROWS), path)
    found = evaluate_files([path], Question(on_bad_rows="report"))["columns"]
    assert (found.n, found.bad_rows.broken) == (2, 2)
    assert found.estimates[0].value == pytest.approx(2.0)
    (second, zero), (third, null) = listed(found)
    assert (second, third) == (2, 3)
    assert zero.startswith("propensity is 0.0" if name == "log.parquet" else "propensity is '0.0'")
    assert zero.endswith("the logged action's propensity is above 0 and at most 1")
    assert null == "reward is None; a reward is a finite number"


@pytest.mark.parametrize("name", WRITERS)
def test_refusing_is_the_default(tmp_path, name):
    """Without being asked, nothing is left out."""
    path = tmp_path / name
    WRITERS[name](pl.DataFrame(ROWS), path)
    with pytest.raises(InvalidLog, match="row 2: propensity is"):
        evaluate_files([path])


def test_a_clean_log_has_no_bad_rows(tmp_path):
    """Reporting changes nothing where nothing is wrong, and says so."""
    log = pl.DataFrame([GOOD] * 3)
    found = evaluate_frame(log, Question(on_bad_rows="report"))["columns"]
    assert (found.n, found.bad_rows.broken, found.bad_rows.shown) == (3, 0, ())
    assert evaluate_frame(log)["columns"].bad_rows is None


@pytest.mark.parametrize("engine", ["pandas", "polars", "lazy"])
def test_frames_are_reported_too(engine):
    """Any frame's bad rows are counted."""
    frame = pl.DataFrame(ROWS)
    log = {"pandas": frame.to_pandas(), "polars": frame, "lazy": frame.lazy()}[engine]
    assert evaluate_frame(log, Question(on_bad_rows="report"))["columns"].bad_rows.broken == 2


def test_lines_that_are_no_json_are_listed_by_their_numbers(tmp_path):
    """A broken line in the middle, a truncated last one and a broken row between them each have their number."""
    path = tmp_path / "log.ndjson"
    good = json.dumps(GOOD)
    path.write_text("\n".join([good, "{nonsense", json.dumps(GOOD | {"propensity": 2}), good, good[:-9]]))
    found = evaluate_files([path], Question(on_bad_rows="report"))["columns"]
    assert (found.n, found.bad_rows.broken) == (2, 3)
    assert sorted(row for row, _ in listed(found)) == [2, 3, 5]
    assert "'{nonsense'" in dict(listed(found))[2]
    assert dict(listed(found))[3].startswith("propensity is '2'")
    with pytest.raises(InvalidLog):
        evaluate_files([path])


def test_ndjson_with_bom_crlf_and_gzip(tmp_path):
    """Reporting reads what polars does not."""
    path = tmp_path / "log.ndjson.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\r\n".join([json.dumps(GOOD).encode()] * 2) + b"\r\n\r\n"))
    found = evaluate_files([path], Question(on_bad_rows="report"))["columns"]
    assert (found.n, found.bad_rows.broken) == (2, 0)


def test_csv_rows_with_too_few_or_too_many_cells_are_listed(tmp_path):
    """Rows count from 1 below the header, as elsewhere; quoted line ends are no rows."""
    path = tmp_path / "log.csv"
    path.write_text(
        'reward,propensity,target_propensity,note\n1,0.5,0.5,"a\nb"\n1,0.5\n1,0.5,0.5,x,y\n1,0,0.5,\n3,0.5,0.5,\n'
    )
    found = evaluate_files([path], Question(on_bad_rows="report"))["columns"]
    assert (found.n, found.estimates[0].value) == (2, pytest.approx(2.0))
    assert listed(found)[:2] == [(2, "2 cells; the header has 4"), (3, "5 cells; the header has 4")]
    assert listed(found)[2][0] == 4


def test_bad_and_unshown_lines_of_dsjson(tmp_path):
    """Lines that are no decision are noted, and bad ones listed: they are not the same."""
    good = {"_label_cost": -1, "_label_probability": 0.5, "_labelIndex": 0, "a": [1, 2], "p": [0.5, 0.5]}
    good["c"] = {"_multi": [{}, {}]}
    path = tmp_path / "log.dsjson"
    zero = good | {"_label_probability": 0, "p": [0, 1]}
    path.write_text("\n".join(map(json.dumps, [good, good | {"_skipLearn": True}, zero])) + "\n{\n")
    found = evaluate_files([path], Question(policies=["uniform"], on_bad_rows="report"))["uniform"]
    assert (found.n, found.bad_rows.broken) == (1, 2)
    assert [note for note in found.notes if "never shown" in note] == [f"left out 1 lines: {NOT_SHOWN}"]
    assert sorted(row for row, _ in listed(found)) == [3, 4]


def test_many_bad_rows_are_counted_and_the_first_listed(tmp_path):
    """The list is short, the count is not."""
    log = pl.DataFrame([GOOD] * 5 + [GOOD | {"reward": None}] * 100)
    found = evaluate_frame(log, Question(on_bad_rows="report"))["columns"]
    assert found.bad_rows.broken == 100
    assert [row.row for row in found.bad_rows.shown] == list(range(6, 26))


def test_many_broken_lines_are_counted_and_the_first_listed(tmp_path):
    """The same holds of lines that cannot be read."""
    path = tmp_path / "log.ndjson"
    path.write_text(json.dumps(GOOD) + "\n{" * 100)
    found = evaluate_files([path], Question(on_bad_rows="report"))["columns"]
    assert found.bad_rows.broken == 100
    assert [row.row for row in found.bad_rows.shown] == list(range(2, 22))


def test_a_log_of_bad_rows_is_refused():
    """There is nothing to estimate from, and the first bad row says why."""
    with pytest.raises(InvalidLog, match=r"no rows; .*Of 2 bad rows, the first is: frame: row 1: reward is None"):
        evaluate_frame(
            pl.DataFrame([GOOD | {"reward": None}] * 2, schema_overrides={"reward": pl.Float64}),
            Question(on_bad_rows="report"),
        )


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), None])
def test_row_weights_are_positive(weight):
    """A row that stands for no decisions is no row."""
    log = pl.DataFrame([GOOD | {"row_weight": 1.0}, GOOD | {"row_weight": weight}])
    with pytest.raises(InvalidLog, match=r"row 2: row_weight is .*a row stands for a positive number of decisions"):
        evaluate_frame(log)
    assert evaluate_frame(log, Question(on_bad_rows="report"))["columns"].n == 1


def run(*arguments):
    """Run `ope evaluate` in this process."""
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_command_reports(tmp_path):
    """The JSON has the count and the rows, the table lists them, and the exit code is 0."""
    path = tmp_path / "log.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    asked = [path, "--on-bad-rows", "report"]
    result = run(*asked, "--format", "json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(report) == ["n", "estimates", "diagnostics", "bad_rows"]
    assert report["bad_rows"]["count"] == 2
    assert report["bad_rows"]["rows"][0] == {
        "source": str(path),
        "row": 2,
        "value": "propensity is 0.0",
        "rule": "the logged action's propensity is above 0 and at most 1",
    }
    assert "left out 2 bad rows" in result.stderr
    table = " ".join(run(*asked).stdout.split())
    assert "left out 2 bad rows:" in table
    assert "row 3: reward is None; a reward is a finite number" in table
    assert run(path).exit_code == 1
    assert run(path, "--on-bad-rows", "ignore").exit_code == 2
