"""Every bad row and file: the error names the file, the row, the value, the rule and the way out."""

import json

import polars as pl
import pytest

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question

GOOD = {"reward": 1.0, "propensity": 0.5, "target_propensity": 0.25, "q_logged": 0.5, "q_target": 0.5}
NAN, INF = float("nan"), float("inf")
PROPENSITY = "the logged action's propensity is above 0 and at most 1"
BREACHES = [
    ("reward", NAN, "nan; a reward is a finite number"),
    ("reward", INF, "inf; a reward is a finite number"),
    ("reward", None, "None; a reward is a finite number"),
    ("propensity", 0.0, f"0.0; {PROPENSITY}"),
    ("propensity", -0.1, f"-0.1; {PROPENSITY}"),
    ("propensity", 1.5, f"1.5; {PROPENSITY}"),
    ("propensity", NAN, f"nan; {PROPENSITY}"),
    ("propensity", None, f"None; {PROPENSITY}"),
    ("target_propensity", -0.5, "-0.5; the target's propensity is between 0 and 1"),
    ("target_propensity", 1.5, "1.5; the target's propensity is between 0 and 1"),
    ("target_propensity", None, "None; the target's propensity is between 0 and 1"),
    ("q_logged", NAN, "nan; a predicted reward is a finite number"),
    ("q_target", -INF, "-inf; a predicted reward is a finite number"),
]


def rows(column, value):
    """Return three rows, the second of them with the value."""
    return [GOOD, GOOD | {column: value}, GOOD]


def csv(path, column, value):
    """Write the rows as CSV."""
    pl.DataFrame(rows(column, value), schema=dict.fromkeys(GOOD, pl.Object)).select(
        pl.all().map_elements(lambda cell: "" if cell is None else str(cell), return_dtype=pl.String)
    ).write_csv(path)


def refusal(path, **options):
    """Return the text of the InvalidLog that the file raises."""
    with pytest.raises(InvalidLog) as caught:
        evaluate_files([path], Question(**options))
    return str(caught.value)


@pytest.mark.parametrize(("column", "value", "says"), BREACHES)
def test_bad_row_in_parquet(tmp_path, column, value, says):
    """A broken rule in a typed file names file, row, column and value."""
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows(column, value)).write_parquet(path)
    assert f"{path}: row 2: {column} is {says}" in refusal(path)


@pytest.mark.parametrize(("column", "value", "says"), BREACHES)
def test_bad_row_in_pandas(column, value, says):
    """The same in a frame; pandas has NaN for null."""
    frame = pl.DataFrame(rows(column, value)).to_pandas()
    with pytest.raises(InvalidLog, match=r"frame: row 2: ") as caught:
        evaluate_frame(frame)
    assert f"{column} is {says.replace('None', 'nan')}" in str(caught.value)


@pytest.mark.parametrize("text", ["abc", "NaN", "inf", "-0.5", "1.5", "1e999", "1,5", "0x1"])
def test_bad_text_in_csv(tmp_path, text):
    """CSV errors quote what the file says, even 4,000 rows in."""
    path = tmp_path / "log.csv"
    good = "1,0.5,0.25\n" * 4_000
    path.write_text(f'reward,propensity,target_propensity\n{good}1,"{text}",0.25\n')
    assert f"{path}: row 4,001: propensity is {text!r}; {PROPENSITY}" in refusal(path)


def test_missing_cell_in_csv(tmp_path):
    """An empty cell is null, not 0."""
    path = tmp_path / "log.csv"
    path.write_text("reward,propensity,target_propensity\n,0.5,0.25\n")
    assert "row 1: reward is None; a reward is a finite number. Say how open" in refusal(path)


@pytest.mark.parametrize(("value", "says"), [("abc", "'abc'"), (None, "None"), (2, "'2'"), ([1], "[1]")])
def test_bad_value_in_ndjson(tmp_path, value, says):
    """NDJSON errors name the row and the value as well."""
    path = tmp_path / "log.ndjson"
    path.write_text("\n".join(map(json.dumps, rows("propensity", value))))
    message = refusal(path)
    assert str(path) in message
    assert f"row 2: propensity is {says}" in message or "cannot be read" in message


def test_several_bad_rows_are_counted(tmp_path):
    """The first bad row is shown, and how many there are."""
    path = tmp_path / "log.parquet"
    pl.DataFrame([GOOD, *rows("reward", NAN), *rows("propensity", 2.0)]).write_parquet(path)
    assert "row 3: reward is nan" in refusal(path)
    assert "(2 rows break a rule.)" in refusal(path)


def test_second_file_is_named(tmp_path):
    """Rows are counted within their own file."""
    paths = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    pl.DataFrame([GOOD] * 5).write_parquet(paths[0])
    csv(paths[1], "propensity", 0.0)
    with pytest.raises(InvalidLog, match=r"b\.csv: row 2: propensity is '0\.0'"):
        evaluate_files(paths)


def test_unused_predictions_are_not_judged(tmp_path):
    """A bad prediction does not matter to an evaluation that reads none."""
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows("q_logged", NAN)).write_parquet(path)
    assert evaluate_files([path], Question(estimators=["ips", "snips"]))["columns"].n == 3


def test_rounding_above_one_is_forgiven():
    """A probability that floating point put a hair above 1 is 1."""
    assert evaluate_frame(pl.DataFrame([GOOD | {"propensity": 1 + 2e-16, "target_propensity": 1 + 1e-12}]))


def test_missing_column():
    """A missing column is a wrong question: the error lists what is there and suggests the closest."""
    frame = pl.DataFrame([GOOD]).rename({"propensity": "propensty"})
    with pytest.raises(
        InvalidRequest,
        match=r"no column 'propensity'; it has reward, propensty, .*Did you mean --propensity propensty\?",
    ):
        evaluate_frame(frame)
    with pytest.raises(InvalidRequest, match=r"no column 'clicks'.*Name yours with --reward\."):
        evaluate_frame(pl.DataFrame([GOOD]), Question(columns=Columns(reward="clicks")))
    with pytest.raises(InvalidRequest, match="--policy uniform, logged or fixed:ID"):
        evaluate_frame(frame.drop("target_propensity").rename({"propensty": "propensity"}))


def test_predicted_column_named_in_vain():
    """A prediction column that was named must be there; the default names may be absent."""
    with pytest.raises(InvalidRequest, match="no column 'model'"):
        evaluate_frame(pl.DataFrame([GOOD]), Question(columns=Columns(q_target="model")))


@pytest.mark.parametrize("column", [pl.lit("x"), pl.lit([1.0]), pl.date(2026, 1, 1)], ids=["text", "list", "date"])
def test_column_of_another_type(column):
    """A column that holds no numbers at all is refused by its type."""
    with pytest.raises(InvalidLog, match=r"column 'reward' holds .*; it must hold numbers\. Convert it"):
        evaluate_frame(pl.DataFrame([GOOD]).with_columns(reward=column))


def test_text_column_in_parquet(tmp_path):
    """Text that reads as numbers is read in files; other text is named with its row."""
    path = tmp_path / "log.parquet"
    pl.DataFrame([GOOD, GOOD]).with_columns(reward=pl.Series(["1", "one"])).write_parquet(path)
    assert "row 2: reward is 'one'; a reward is a finite number" in refusal(path)


def test_no_rows(tmp_path):
    """A log needs one row; among several files one may be empty."""
    empty, full = tmp_path / "empty.csv", tmp_path / "full.parquet"
    empty.write_text(",".join(GOOD) + "\n")
    pl.DataFrame([GOOD]).write_parquet(full)
    assert "empty.csv: no rows; an estimate needs at least one settled decision" in refusal(empty)
    assert evaluate_files([empty, full])["columns"].n == 1


def test_half_a_parquet_file(tmp_path):
    """A file whose writer did not finish is refused by name."""
    path = tmp_path / "log.parquet"
    pl.DataFrame([GOOD] * 1000).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path}: cannot be read: parquet:" in refusal(path)
    assert "check that the writer finished" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"reward,propensity\n1,0.5\n"),
        ("a.ndjson", b'{"reward": 1, "propensity": 0.5}\n{"reward": 1, "prop'),
        ("a.jsonl", b'{"reward": NaN, "propensity": 0.5}\n'),
        ("a.csv", b"reward,propensity,target_propensity\n1,0.5,0.5,9\n"),
    ],
    ids=["csv called parquet", "half a line", "NaN is no JSON", "too many cells"],
)
def test_unreadable_file(tmp_path, name, content):
    """Whatever the reader trips over, the error names the file and the way out."""
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path}: cannot be read: " in refusal(path)


def test_binary_called_csv(tmp_path):
    """What is no table has none of the columns, and its bytes do not reach the terminal raw."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x1b[31m\x00\x01,b\n1,2\n")
    with pytest.raises(InvalidRequest, match=r"it has '.x1b\[31m.x00.x01', b\."):
        evaluate_files([path])


def test_empty_file(tmp_path):
    """A file of 0 bytes is not an empty log but a broken one."""
    path = tmp_path / "log.parquet"
    path.touch()
    assert f"{path}: the file is empty (0 bytes)" in refusal(path)


def test_paths_that_are_no_logs(tmp_path):
    """A missing file, a folder and an unknown extension are wrong questions."""
    (tmp_path / "log.xlsx").write_text("x")
    for path, says in [
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "is a folder. Name its files"),
        (tmp_path / "log.xlsx", r"unknown extension '\.xlsx'\. A log ends in one of \.parquet, "),
    ]:
        with pytest.raises(InvalidRequest, match=says):
            evaluate_files([path])
    with pytest.raises(InvalidRequest, match="no log was given"):
        evaluate_files([])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"estimators": ["ips", "magic"]}, "unknown estimator 'magic'; the estimators are ips, snips, dm, dr, sndr, "),
        ({"estimators": ["ips:3"]}, "ips:3: ips has no parameter; ask for ips"),
        ({"estimators": ["clipped_ips:ten"]}, "'ten' is neither a number nor slope nor mse; try clipped_ips:slope"),
        ({"estimators": ["clipped_ips:0"]}, "clipped weights with 0: their parameter is a number above 0"),
        ({"estimators": ["switch_dr:nan"]}, "switch weights with nan: their parameter is a number above 0"),
        ({"estimators": ["dros:inf"]}, "os weights with inf: their parameter is a number above 0"),
        ({"estimators": ["sg_ips:1"]}, "sg weights with 1: their parameter is from 0 to below 1"),
        ({"max_weight": 1}, "--max-weight is 1; weights are bounded by a number above 1. Try 10"),
        ({"max_weight": NAN}, "--max-weight is nan"),
        ({"interval": "jackknife"}, "unknown interval 'jackknife'; the methods are normal, bootstrap, cressie_read"),
        ({"level": 1.0}, "level is 1.0; it lies between 0 and 1"),
        ({"level": NAN}, "level is nan"),
        ({"policies": ["uniform"], "columns": Columns(target_propensity="p")}, "two answers to one question"),
    ],
)
def test_wrong_questions(options, says):
    """An unknown name or value is refused with the choices."""
    with pytest.raises(InvalidRequest, match=says):
        evaluate_frame(pl.DataFrame([GOOD]), Question(**options))


def test_estimator_without_its_columns():
    """An estimator asked for by name needs its columns; by default it is simply not run."""
    frame = pl.DataFrame([GOOD]).drop("q_logged")
    assert [one.estimator for one in evaluate_frame(frame)["columns"].estimates] == [
        "ips",
        "snips",
        "dm",
        "beta_ips",
        "clipped_ips",
    ]
    with pytest.raises(InvalidRequest, match="estimator dr needs q_logged, which the log does not have"):
        evaluate_frame(frame, Question(estimators=["dr"]))
