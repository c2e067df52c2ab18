"""The columns that a log of rankings has, and what each of their values must be."""

from dataclasses import dataclass

import polars as pl

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ListRule:
    """A list column, one entry for each slot: what an entry must be, as a condition and in words."""

    column: str
    broken: pl.Expr
    says: str


def _outside(low: pl.Expr) -> pl.Expr:
    value = pl.element()
    return value.is_null() | value.is_nan() | low | (value > 1 + ROUNDING)


_NO_PROPENSITY, _NO_PROBABILITY = _outside(pl.element() <= 0), _outside(pl.element() < 0)
_NO_NUMBER = pl.element().is_null() | ~pl.element().is_finite()
LOGGED = "a logged propensity is above 0 and at most 1"
TARGET = "a target's propensity is between 0 and 1"
NUMBER = "it is a finite number"
RULES: tuple[ListRule, ...] = (
    ListRule("pscore_cascade", _NO_PROPENSITY, LOGGED),
    ListRule("pscore_item_position", _NO_PROPENSITY, LOGGED),
    ListRule("target_pscore_cascade", _NO_PROBABILITY, TARGET),
    ListRule("target_pscore_item_position", _NO_PROBABILITY, TARGET),
    ListRule("slot_rewards", _NO_NUMBER, NUMBER),
    ListRule("q_slot_logged", _NO_NUMBER, NUMBER),
    ListRule("q_slot_target", _NO_NUMBER, NUMBER),
)
LISTS = tuple(rule.column for rule in RULES)
NUMBERS = ("pscore", "target_pscore", "pi_weight", "pi_weight_uniform")
REASON = "pscore_item_position_reason"
