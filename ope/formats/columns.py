"""The columns that a log of ours may have, with their types: what foreign formats are read into and written from."""

from typing import Any

import polars as pl

PAIRS = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))
NUMBERS = pl.List(pl.Float64())
TEXTS = pl.List(pl.String())
LINE = "honeyguide: line"
"""The number of the line that a row was read from, from 1, where rows are fewer than lines; no column of a file."""

TRAINED = "honeyguide: seen in training"
"""Whether the model that predicted the row had been trained on it, as 1 or 0; no column of a file."""

ROW_WEIGHT = "row_weight"
"""How many decisions a row stands for, where a log kept only some of them."""

LOG_COLUMNS: dict[str, Any] = {
    "loop": pl.String,
    "decision_id": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "context": pl.String,
    "actions": pl.String,
    "distribution": PAIRS,
    "predicted_rewards": NUMBERS,
    "ranking": PAIRS,
    "pscore": pl.Float64,
    "pscore_cascade": NUMBERS,
    "pscore_item_position": NUMBERS,
    "pscore_item_position_reason": pl.String,
    "pi_weight_uniform": pl.Float64,
    "slot_rewards": NUMBERS,
    "action": pl.String,
    "propensity": pl.Float64,
    "explored": pl.Boolean,
    "reward": pl.Float64,
    "rewarded_at": pl.Datetime("us", "UTC"),
    "outcome": pl.String,
    "slot": pl.Int64,
    "component": pl.String,
    "policy": pl.String,
    "model_version": pl.String,
    "top_n": pl.Int64,
    "guard_state": pl.String,
    "new_actions": TEXTS,
    "outcome_at": pl.Datetime("us", "UTC"),
    "outcome_position": pl.Int64,
    "first_outcome": pl.Int64,
    "n_actions": pl.Int64,
    ROW_WEIGHT: pl.Float64,
    LINE: pl.Int64,
}
"""Those of `honeyguide export`, `context` and `actions` as JSON text, then what only foreign logs have."""

TIMES = tuple(name for name, kind in LOG_COLUMNS.items() if kind == pl.Datetime("us", "UTC"))
"""Those that JSON can only hold as text or numbers."""
