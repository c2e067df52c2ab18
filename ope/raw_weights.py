"""The raw weights that are made of canonical columns; those that scoring has made are columns already."""

import narwhals as nw

from ope.weights import AGAINST, RAW

BALANCED = "balanced"


def raw_weight(column: str) -> nw.Expr | None:
    """Return a raw weight as an expression, or None where it is a column of the rows.

    `w` is p_target/p_log, `balanced` the same over the mixture of several loggers, `logger:ID` is w in one logger's
    rows and 0 in others, `is:ID` 1 in them.
    """
    own = column.removeprefix(AGAINST)
    prefix = column.removesuffix(own)
    kind, _, logger = own.partition(":")
    if kind == RAW:
        return nw.col(f"{prefix}target_propensity") / nw.col("propensity")
    if kind == BALANCED:
        return nw.col(f"{prefix}target_propensity") / nw.col("balanced_propensity")
    if kind in {"logger", "is"}:
        inside = nw.col(f"{prefix}{RAW}") if kind == "logger" else nw.lit(1.0)
        return nw.when(nw.col("logger") == logger).then(inside).otherwise(0.0)
    return None
