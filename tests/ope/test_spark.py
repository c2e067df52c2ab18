"""The same on Spark, in local mode; it needs pyspark and Java, and is named at the end of a run where it has not."""

import pytest

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question

pytestmark = [
    pytest.mark.spark,
    # Spark's own: it knows no pandas 3 yet, and leaves its socket to the garbage collector.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
ESTIMATORS = ["ips", "snips", "dm", "dr", "sndr", "beta_ips", "clipped_ips:2.5", "switch_dr:slope", "dros:7"]


@pytest.fixture(scope="module")
def session():
    """A local Spark, stopped at the end."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - where it is not installed these tests are taken out

    local = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.driver.host": "127.0.0.1"}
    started = SparkSession.builder.master("local[2]").appName("tests").config(map=local).getOrCreate()
    started.sparkContext.setLogLevel("ERROR")
    yield started
    started.stop()


@pytest.fixture
def path(tmp_path, mixed_log):
    """A Parquet file in a folder and with a name that Spark would take for a partition and a pattern."""
    folder = tmp_path / "loop=a"
    folder.mkdir()
    mixed_log.write_parquet(folder / "log[1]{2}.parquet", row_group_size=700)
    (folder / "log1.parquet").write_bytes(b"what the pattern would find")
    return folder / "log[1]{2}.parquet"


@pytest.mark.parametrize("named", [{}, {"logger": "logger"}], ids=["one logger", "several loggers"])
def test_spark_agrees(session, path, agree, named):
    """Every kind of estimator, error and diagnostic is that of polars to 1e-10."""
    more = ["weighted_ips", "weighted_dr"] if named else []
    agree(path, "pyspark", columns=Columns(**named), estimators=[*ESTIMATORS, *more])


def test_bad_rows_have_their_numbers(session, path, breaches_are_named):
    """Spark numbers a file's rows, whatever the order in which it reads them; dividing by 0 is no error of its own."""
    breaches_are_named(path, "pyspark")


def test_a_frame_of_spark_is_judged_where_it_is(session, path, mixed_log):
    """As a cluster's users do it: in their own session, with a frame of many partitions."""
    frame = session.read.parquet(str(path).replace("[", "\\[").replace("{", "\\{")).repartition(5)
    question = Question(estimators=["snips", "dros:7"])
    found, expected = (evaluate_frame(one, question)["columns"] for one in (frame, mixed_log))
    assert [one.value for one in found.estimates] == pytest.approx([one.value for one in expected.estimates], rel=1e-10)


def test_what_spark_cannot_answer_says_what_can(session, path):
    """Folds need an order, and policies are scored in polars."""
    with pytest.raises(InvalidRequest, match=r"replay goes through .* keeps rows in no order\. Choose --engine polars"):
        evaluate_files([path], Question(estimators=["replay"], engine="pyspark"))
    with pytest.raises(InvalidRequest, match=r"Write its propensities first \(honeyguide ope score"):
        evaluate_files([path], Question(policies=["logged"], engine="pyspark"))


def test_what_spark_raises_is_an_error_of_ours(session, path):
    """A file that breaks while it is read is named."""
    good = path.read_bytes()
    at = len(good) // 3
    path.write_bytes(good[:at] + bytes(at) + good[2 * at :])
    with pytest.raises(InvalidLog, match=r"log\[1\]\{2\}\.parquet: cannot be read: "):
        evaluate_files([path], Question(engine="pyspark"))
