"""Reads Parquet in Spark, in the session of `spark-submit` or a local one; the only module that speaks Spark."""

from pathlib import Path
from typing import Any

import narwhals as nw
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - what Spark's own documentation calls it

from ope.errors import InvalidRequest
from ope.formats.columns import LINE
from ope.weights import safe_name


def scan(path: Path) -> nw.LazyFrame[Any]:
    """Return the file as a frame that has not been read, each row numbered in the column LINE.

    A dot in the name of a column becomes %2E, since Spark would take what follows for a field.
    Raises InvalidRequest where there is no Java that starts it.
    """
    read = _session().read.parquet(_literal(path))
    numbered = read.select("*", (F.col("_metadata.row_index") + 1).alias(LINE))
    frame: nw.LazyFrame[Any] = nw.from_native(numbered.toDF(*map(safe_name, numbered.columns)))
    return frame


def _session() -> SparkSession:
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    try:
        session = SparkSession.builder.appName("honeyguide").config(map=quiet).getOrCreate()
    except PySparkRuntimeError as error:
        raise InvalidRequest(
            f"--engine pyspark: Spark did not start ({error.getCondition()}). It needs Java 17 or newer: install it, "
            "or point JAVA_HOME at it."
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _literal(path: Path) -> str:
    # Hadoop expands patterns in a path; a file name has none.
    return "".join(f"\\{character}" if character in "\\[]{}*?" else character for character in str(path.absolute()))
