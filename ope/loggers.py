"""Logs that several policies made: who they are, how much each logged, and what they would have done together."""

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import narwhals as nw

from ope.engine import in_memory
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, number, require

MOST = 12
LOGGER, BALANCED = "logger", "balanced_propensity"


def propensity_of(logger: str) -> str:
    """Return the column of the logged action's propensity under one of the loggers."""
    return f"propensity_{logger}"


def count_loggers(sources: Sequence[Source], columns: Columns) -> dict[str, int]:
    """Return how many rows each logger has, by id in sorted order; a pass of its own, before the sums.

    Raises InvalidRequest where there is no such column or more than a dozen loggers, InvalidLog for a row without one.
    """
    if columns.logger is None:
        return {}
    counted: Counter[str] = Counter()
    for source in sources:
        require(source, columns.logger, option="--logger")
        for row in _counts(source, columns.logger):
            if row["id"] is None:
                raise InvalidLog(
                    f"{source.name}: {columns.logger} is null in {row['n']:,} rows. Name each row's logger."
                )
            counted[row["id"]] += row["n"]
    if len(counted) > MOST:
        raise InvalidRequest(
            f"{sources[0].name}: {columns.logger} names {len(counted)} loggers; at most {MOST} are told apart. "
            "Join those that are alike."
        )
    return dict(sorted(counted.items()))


def logger_columns(source: Source, columns: Columns, counts: dict[str, int]) -> dict[str, nw.Expr]:
    """Return the canonical column of the logger, and that of the loggers' mixture where the log has what it takes.

    The mixture is Σ_k n_k/n π_k(a|x) (Agarwal, Basu, Schnabel and Joachims 2017, balanced IPS), over the columns
    `propensity_ID`, one for each logger.
    """
    if columns.logger is None:
        return {}
    found = {LOGGER: nw.col(columns.logger).cast(nw.String())}
    each = [propensity_of(name) for name in counts]
    present = set(source.columns)
    if all(column in present for column in each):
        rows = sum(counts.values())
        found |= {column: number(source, column) for column in each}
        shares = [number(source, propensity_of(name)) * (n / rows) for name, n in counts.items()]
        found[BALANCED] = reduce(add, shares)
    return found


def _counts(source: Source, column: str) -> list[dict[str, Any]]:
    ids = source.frame.select(nw.col(column).cast(nw.String()).alias("id"), n=nw.lit(1))
    return list(in_memory(ids.group_by("id").agg(nw.col("n").sum())).rows(named=True))
