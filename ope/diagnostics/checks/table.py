"""Every check of the linter; one line adds one."""

from ope.diagnostics.checks import (
    draws,
    identity,
    join,
    overlap,
    predictions,
    rewards,
    row_weights,
    rows,
    support,
    weights,
)  # fmt: skip
from ope.diagnostics.checks.base import Check

CHECKS: tuple[Check, ...] = (
    rows.CHECK,
    row_weights.CHECK,
    draws.CHECK,
    support.CHECK,
    weights.CHECK,
    join.CHECK,
    rewards.CHECK,
    identity.CHECK,
    overlap.CHECK,
    predictions.CHECK,
)
OF_FILES = ("file_unreadable", "column_missing", "column_type", "row_broken", "no_decision", "no_rows")
"""Findings about files and columns, before any row is judged."""
CODES: tuple[str, ...] = (*OF_FILES, *(code for check in CHECKS for code in check.codes))
