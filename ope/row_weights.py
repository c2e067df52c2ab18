"""Rows that stand for several decisions, because a log kept only some of its rows at random.

VW's `pdrop` is the probability with which a row was left out, so the row stands for h = 1/(1 − pdrop) decisions. Every
mean over decisions is then Σ h x / Σ h (Horvitz and Thompson 1952, for the sampling of rows). The sums know no row
weights; their terms are multiplied by h n / Σ h instead, which is 1 on average over the log, so that the plain mean of
a term is exactly that ratio. The standard errors take Σ h as known.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import narwhals as nw

from ope.engine import only_row
from ope.formats.columns import ROW_WEIGHT
from ope.frames import Rows


def scaled(logs: Sequence[Rows]) -> list[Rows]:
    """Return the logs' rows with weights that are 1 on average over all of them; as they are where none has any."""
    if not any(ROW_WEIGHT in rows.columns for rows in logs):
        return list(logs)
    counted = [_counted(rows) for rows in logs]
    rows, total = sum(one["n"] for one in counted), sum(one["total"] or 0.0 for one in counted)
    # What is no positive number keeps being none, so that the rule for it names the row.
    factor = rows / total if 0 < total < math.inf else 1.0
    return [_times(one, factor) for one in logs]


def weighted(terms: dict[str, nw.Expr], columns: Sequence[str]) -> dict[str, nw.Expr]:
    """Return the terms, each multiplied by its row's weight where the rows have one."""
    if ROW_WEIGHT not in columns:
        return terms
    return {name: term * nw.col(ROW_WEIGHT) for name, term in terms.items()}


def _counted(rows: Rows) -> dict[str, Any]:
    weight = nw.col(ROW_WEIGHT).sum() if ROW_WEIGHT in rows.columns else nw.len()
    return only_row(rows.frame.select(nw.len().alias("n"), weight.alias("total")))


def _times(rows: Rows, factor: float) -> Rows:
    weight = nw.col(ROW_WEIGHT) * factor if ROW_WEIGHT in rows.columns else nw.lit(factor)
    also = {"off_support": nw.col("off_support") * weight} if "off_support" in rows.columns else {}
    return replace(rows, frame=rows.frame.with_columns(**{ROW_WEIGHT: weight}, **also))
