"""The Open Bandit Dataset's own CSV (Saito, Aihara, Matsutani and Narita 2021): one shown item in a row."""

import csv
from typing import Any

import polars as pl

from ope.formats.columns import LINE
from ope.formats.listed import json_object

LOGGED = ("timestamp", "item_id", "position", "click", "propensity_score")
USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
AFFINITY = "user-item_affinity_"
"""One such column for each item: their number is that of the actions."""

CARRIED = frozenset({"at", "context", "action", "propensity", "reward", "slot"})
NEEDED = (("action",), ("propensity",), ("reward",))
PARTLY = {"context": f"only {USER_FEATURES[0]} to {USER_FEATURES[-1]}"}
TIMES = ("%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%:z")


def is_header(line: bytes) -> bool:
    """Say whether a CSV's first line has the data set's columns."""
    try:
        names = set(next(csv.reader([line.decode(errors="replace")]), []))
    except csv.Error:  # a carriage return inside, or a cell of more than 128 KiB
        return False
    return names.issuperset(LOGGED)


def with_our_names(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows under our columns' names beside the file's own; positions count from 1, slots from 0."""
    names = raw.collect_schema().names()
    text = raw.with_columns(pl.col(name).cast(pl.String) for name in names if name != LINE)
    at = [pl.col("timestamp").str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False) for f in TIMES]
    users = [name for name in names if name.startswith("user_feature_")]
    actions = sum(name.startswith(AFFINITY) for name in names)
    ours: dict[str, pl.Expr] = {
        "at": pl.coalesce(at),
        "context": pl.struct(users).struct.json_encode() if users else pl.lit("{}"),
        "action": pl.col("item_id"),
        "slot": pl.col("position").cast(pl.Int64, strict=False) - 1,
        "propensity": pl.col("propensity_score"),
        "reward": pl.col("click"),
        "outcome": pl.lit("rewarded"),
    }
    return text.with_columns(**ours, **({"n_actions": pl.lit(actions, dtype=pl.Int64)} if actions else {}))


def header() -> list[str]:
    """Return the columns that are written."""
    return [*LOGGED, *USER_FEATURES]


def cells(row: dict[str, Any]) -> list[Any]:
    """Return a row of ours as the data set writes it; of the context, it has the four user features."""
    features = json_object(row.get("context"), "context")
    at = row.get("at")
    logged = [
        None if at is None else at.isoformat(sep=" "),
        row["action"],
        (row.get("slot") or 0) + 1,
        row["reward"],
        row["propensity"],
    ]
    return [*logged, *(features.get(name) for name in USER_FEATURES)]
