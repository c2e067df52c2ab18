"""What a logged row must be, as data: one rule for each canonical column; fixes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import narwhals as nw

from ope.formats.columns import TRAINED
from ope.weights import AGAINST

# A distribution that was normalised in floating point may put 1 + 2e-16 on its only action.
ROUNDING = 1e-9
OF_A_LOGGER = "propensity_"
SUM_TOLERANCE = 1e-4
"""Probabilities that were written with six digits are, over a hundred actions, off from 1 by less."""

DISTRIBUTION_SUM, DISTRIBUTION_LEAST, N_ACTIONS = "distribution_sum", "distribution_least", "n_actions"


@dataclass(frozen=True, slots=True)
class Rule:
    """One column's rule: the condition, the same in words, and what to do about a breach."""

    column: str
    holds: Callable[[nw.Expr], nw.Expr]
    says: str
    way_out: str


def _finite(value: nw.Expr) -> nw.Expr:
    return value.is_finite()


def _positive_probability(p: nw.Expr) -> nw.Expr:
    return p.is_finite() & (p > 0) & (p <= 1 + ROUNDING)


def _probability(p: nw.Expr) -> nw.Expr:
    return p.is_finite() & (p >= 0) & (p <= 1 + ROUNDING)


_PREDICTION = "Predict it for every row, or judge with --estimators ips,snips."
_SAMPLED = "Log the one that the action was drawn from."
DENSITY = Rule(
    "density",
    lambda f: (f > 0) & f.is_finite(),
    "the logged action's density is above 0 and finite",
    "Log the density that the action was drawn from, at that action.",
)
RULES: tuple[Rule, ...] = (
    Rule(
        "reward",
        _finite,
        "a reward is a finite number",
        "Say how open decisions count with --unresolved mature, ipcw or bounds; leaving them out favours fast "
        "rewards. Log the default reward for those that settled without one.",
    ),
    Rule(
        "propensity",
        _positive_probability,
        "the logged action's propensity is above 0 and at most 1",
        "Log the probability that the action was drawn with; it cannot be filled in afterwards.",
    ),
    Rule(
        DISTRIBUTION_LEAST,
        lambda least: least >= 0,
        "a probability is not below 0",
        _SAMPLED,
    ),
    Rule(
        DISTRIBUTION_SUM,
        lambda total: (total >= 1 - SUM_TOLERANCE) & (total <= 1 + SUM_TOLERANCE),
        "a distribution adds up to 1",
        f"{_SAMPLED} Normalise scores over the eligible actions.",
    ),
    Rule(
        N_ACTIONS,
        lambda n: n.is_finite() & (n >= 1) & (n == n.floor()),
        "the number of eligible actions is a whole number above 0",
        "Log how many there were to choose from in this row.",
    ),
    Rule(
        "target_propensity",
        _probability,
        "the target's propensity is between 0 and 1",
        "Recompute the target policy's probability of the logged action.",
    ),
    Rule(
        "balanced_propensity",
        _positive_probability,
        "some logger had to be able to play the logged action",
        "Compute the propensities of each logger anew; the one that played it has one above 0.",
    ),
    Rule(
        "row_weight",
        lambda h: (h > 0) & h.is_finite(),
        "a row stands for a positive number of decisions",
        "Log 1/(1 - pdrop), or drop the column if no rows were left out.",
    ),
    Rule(
        TRAINED,
        lambda seen: seen == 0,
        "a model judges no row that it was trained on",
        "Predict it by a model that was trained without it, or have one cross-fitted: --model auto.",
    ),
    Rule(
        f"{AGAINST}target_propensity",
        _probability,
        "the other policy's propensity is between 0 and 1",
        "Recompute the other policy's probability of the logged action.",
    ),
    Rule("pseudo", _finite, "a weight is a finite number", "Recompute it for this row."),
    Rule("q_logged", _finite, "a predicted reward is a finite number", _PREDICTION),
    Rule("q_target", _finite, "a predicted reward is a finite number", _PREDICTION),
    Rule(f"{AGAINST}q_target", _finite, "a predicted reward is a finite number", _PREDICTION),
)
OF_NUMBERS = (
    DENSITY,
    Rule("logged_action", _finite, "an action is a finite number", "Log the number that was chosen."),
    Rule("target_action", _finite, "an action is a finite number", "Compute what the target chooses in this row."),
    Rule(f"{AGAINST}action", _finite, "an action is a finite number", "Compute what the other chooses in this row."),
    *(rule for rule in RULES if not rule.column.endswith("propensity")),
)
"""The rules where actions are numbers: densities have no largest value."""


def applying(columns: Sequence[str], more: Sequence[Rule] = ()) -> list[Rule]:
    """Return the rules of the columns that are there, and some more, in the order in which they are checked."""
    rules = OF_NUMBERS if DENSITY.column in columns else RULES
    of_loggers = [
        Rule(column, _probability, "a propensity is between 0 and 1", "Compute what this logger would have done.")
        for column in columns
        if column.startswith(OF_A_LOGGER)
    ]  # before their mixture, which they spoil
    return [*of_loggers, *(rule for rule in (*rules, *more) if rule.column in columns)]


def holds(rule: Rule, columns: Sequence[str]) -> nw.Expr:
    """Return the condition that a row keeps the rule; null where the value is null."""
    kept = rule.holds(nw.col(rule.column))
    if rule.column.removeprefix(AGAINST).startswith("q_") and "q_missing" in columns:
        return kept | (nw.col("q_missing") > 0)  # no prediction is counted, not refused
    return kept


def row_holds(columns: Sequence[str], more: Sequence[Rule] = ()) -> nw.Expr:
    """Return the condition that a row keeps every rule that applies, and some more."""
    return reduce(and_, (holds(rule, columns) for rule in applying(columns, more)))
