"""Rows that are broken by themselves: each rule's breaches are counted, and the first rows named."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ope.diagnostics.canonical import AS_LOGGED
from ope.diagnostics.checks.base import Check, count, first_rows, rows_of
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding
from ope.diagnostics.question import Question
from ope.formats.columns import ROW_WEIGHT
from ope.rules import ROUNDING

_DRAWN = "Log the probability that the action was drawn with, at that moment; it cannot be filled in afterwards."
_MASKS = "Log the whole distribution that was sampled from, after caps, floors and filters, at the draw."


@dataclass(frozen=True, slots=True)
class RowRule:
    """A rule for single rows: when it is broken, of which role, what that means and how to mend it."""

    code: str
    needs: tuple[str, ...]
    broken: Callable[[Question], pl.Expr]
    says: str
    way_out: str
    severity: Literal["warn", "refuse"] = "refuse"

    @property
    def role(self) -> str:
        """The role whose value is quoted."""
        return self.needs[0]


def _no_number(role: str) -> pl.Expr:
    return pl.col(role).is_null() | pl.col(role).is_nan()


def _reward(q: Question) -> pl.Expr:
    broken = pl.col("reward").is_nan() | pl.col("reward").is_infinite()
    text = "reward" + AS_LOGGED
    if text in q.rows.collect_schema():
        broken |= pl.col("reward").is_null() & (pl.col(text).str.strip_chars() != "")
    return broken


def _range(q: Question) -> pl.Expr:
    low, high = q.asked.reward_range or (float("-inf"), float("inf"))
    return pl.col("reward").is_finite() & ~pl.col("reward").is_between(low, high)


def _target(_: Question) -> pl.Expr:
    p = pl.col("target_propensity")
    return _no_number("target_propensity") | (p < 0) | (p > 1 + ROUNDING)


def _prediction(role: str) -> Callable[[Question], pl.Expr]:
    return lambda _: _no_number(role) | pl.col(role).is_infinite()


def _sum(q: Question) -> pl.Expr:
    return pl.col("whole") & ((pl.col("mass") - 1).abs() > q.asked.limits["sum_tolerance"])


def _mismatch(q: Question) -> pl.Expr:
    p, own = pl.col("propensity"), pl.col("own")
    off = (p - own).abs() > q.asked.limits["mismatch_tolerance"] * pl.max_horizontal(p, own)
    return pl.col("whole") & pl.col("usable") & (own > 0) & off


RULES: tuple[RowRule, ...] = (
    RowRule(
        "propensity_missing",
        ("propensity",),
        lambda _: _no_number("propensity"),
        "the propensity is missing or no number, so that the row weighs nothing anybody knows",
        _DRAWN,
    ),
    RowRule(
        "propensity_zero",
        ("propensity",),
        lambda _: pl.col("propensity") <= 0,
        "the log says that what happened could not happen (a propensity of 0 or less)",
        f"{_DRAWN} Zeros come from rounding, and from logging a later state of the policy than the one that drew.",
    ),
    RowRule(
        "propensity_above_one",
        ("propensity",),
        lambda _: (pl.col("propensity") > 1 + ROUNDING) & pl.col("propensity").is_not_nan(),
        "the propensity is above 1: a score or a percentage, no probability",
        f"Divide by the sum over the eligible actions, or by 100, where the log is written. {_DRAWN}",
    ),
    RowRule(
        "target_invalid",
        ("target_propensity",),
        _target,
        "the target's propensity is missing or not between 0 and 1",
        "Recompute the target policy's probability of the logged action.",
    ),
    RowRule(
        "reward_invalid",
        ("reward",),
        _reward,
        "the reward is there and is no finite number",
        "Log a number, or null while the outcome is open; NaN usually is a division by 0 or a failed join.",
    ),
    RowRule(
        "reward_range",
        ("reward",),
        _range,
        "the reward is outside the range that was declared, on which the valid intervals rest",
        "Mend the unit or the aggregation of the reward, or declare the range that it truly has.",
    ),
    RowRule(
        "action_missing",
        ("action",),
        lambda _: pl.col("action").is_null(),
        "the row does not say which action was played",
        "Log the id of the action beside its propensity.",
        "warn",
    ),
    RowRule(
        "time_invalid",
        ("at",),
        lambda _: pl.col("at").is_null(),
        "the row has no time that can be read",
        "Log the time of the decision: RFC 3339, or a number of seconds since 1970.",
        "warn",
    ),
    RowRule(
        "id_missing",
        ("decision_id",),
        lambda _: pl.col("decision_id").is_null(),
        "the row has no decision_id, so that neither a copy nor a late reward can be told",
        "Make the id when deciding, and log it with the decision and with each reward.",
        "warn",
    ),
    RowRule(
        "row_weight_invalid",
        (ROW_WEIGHT,),
        lambda _: pl.col("h").is_null(),
        "the row stands for no positive number of decisions",
        "Log 1 / (1 - p) where the row was left out with probability p, and 1 where all rows are kept.",
    ),
    RowRule(
        "q_logged_invalid",
        ("q_logged",),
        _prediction("q_logged"),
        "the predicted reward of the logged action is missing or not finite",
        "Predict it for every row, or judge with estimators that need no prediction.",
        "warn",
    ),
    RowRule(
        "q_target_invalid",
        ("q_target",),
        _prediction("q_target"),
        "the predicted reward of the target is missing or not finite",
        "Predict it for every row, or judge with estimators that need no prediction.",
        "warn",
    ),
    RowRule(
        "distribution_invalid",
        ("distribution",),
        lambda _: ~pl.col("whole"),
        "the distribution is missing, empty, or holds a nameless action or a number that is no probability",
        _MASKS,
    ),
    RowRule(
        "distribution_sum",
        ("distribution",),
        _sum,
        "the distribution does not add up to 1: it is not the one that was sampled from",
        f"{_MASKS} Scores must be normalised, and over the eligible actions only.",
    ),
    RowRule(
        "action_impossible",
        ("action", "distribution"),
        lambda _: pl.col("whole") & ~(pl.col("own") > 0).fill_null(value=False) & pl.col("action").is_not_null(),
        "the action that was played has no probability in the row's own distribution",
        "Something replaced the action after the draw (a filter, a fallback, a business rule), or ids are written in "
        "two ways. Apply such rules before sampling, and log what was sampled.",
    ),
    RowRule(
        "propensity_mismatch",
        ("propensity", "distribution", "action"),
        _mismatch,
        "the propensity is not what the row's own distribution says of the action",
        "Log the entry of the distribution that was sampled from; a propensity from before caps and floors, from a "
        "slate, or from another model differs.",
    ),
)


def _asked(q: Question) -> list[RowRule]:
    return [
        rule
        for rule in RULES
        if q.has(*rule.needs) and not (rule.code == "reward_range" and q.asked.reward_range is None)
    ]


def _ask(q: Question) -> Named:
    return {f"broken {rule.code}": count(rule.broken(q)) for rule in _asked(q)}


def _judge(facts: Facts) -> Iterator[Answer]:
    for rule in _asked(facts.question):
        broken = int(facts.total[f"broken {rule.code}"] or 0)
        if not broken:
            yield Finding(rule.code, "ok", 0.0, 0.0, says="in no row.")
            continue
        where, value = first_rows(facts, rule.broken(facts.question), rule.role, column=rule.role)
        quoted = f", first {value}" if rule.role != "distribution" and value else ""
        says = f"{rows_of(broken, facts.n)}: {rule.says}{quoted}."
        yield Finding(rule.code, rule.severity, float(broken), 0.0, says=says, way_out=rule.way_out, where=where)


CHECK = Check(tuple(rule.code for rule in RULES), _judge, _ask)
