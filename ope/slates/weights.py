"""Scores rankings: a column of raw weights for the slate, each prefix, each slot, and the pseudo-inverse.

Canonical columns, for each slot l from 0: `slate`, `prefix:l`, `item:l` and `pseudo` (raw weights), `reward:l` (what
the slot earned) and `cascade_dr` (a row's own estimate). A slot that a ranking does not have weighs 1 and earns 0: that
it is empty does not depend on the policy.
"""

from collections.abc import Callable
from functools import reduce
from operator import add, mul

import polars as pl

from ope.against import LOGGED
from ope.errors import InvalidRequest
from ope.policies import DISTRIBUTION, Policy
from ope.slates.survey import Survey

SLATE, PREFIX, ITEM, PSEUDO, REWARD, CASCADE_DR = "slate", "prefix", "item", "pseudo", "reward", "cascade_dr"


def at(name: str, slot: int) -> str:
    """Return the column of a slot."""
    return f"{name}:{slot}"


def scored_by_columns(found: Survey) -> dict[str, pl.Expr]:
    """Return the canonical columns of a log that carries the target's propensities itself."""
    whole, scores = found.whole, dict[str, pl.Expr]()
    if {"pscore", "target_pscore"} <= whole:
        scores[SLATE] = pl.col("target_pscore") / pl.col("pscore")
    for name, column in ((PREFIX, "pscore_cascade"), (ITEM, "pscore_item_position")):
        if {column, f"target_{column}"} <= whole:
            scores |= _each(found, name, lambda slot, c=column: _at(f"target_{c}", slot) / _at(c, slot))  # type: ignore[misc]
    if "pi_weight" in whole:
        scores[PSEUDO] = pl.col("pi_weight")
    elif at(ITEM, 0) in scores:
        # Slots drawn independently (Swaminathan et al. 2017): 1 − L + Σ_l w_l; absent slots add 1 − 1.
        scores[PSEUDO] = reduce(add, (scores[at(ITEM, slot)] for slot in range(found.slots))) + (1 - found.slots)
    return scores | _rewards(found) | _cascade_dr(found, scores)


def scored_by_policy(name: str, found: Survey) -> dict[str, pl.Expr]:
    """Return the canonical columns under `uniform` or `logged`; raises InvalidRequest for a policy of one slot.

    `uniform` draws without replacement from the eligible actions, as many as the ranking has: 1/K for the first slot,
    1/(K − 1) for the second; each action stands in each slot with 1/K.
    """
    if name not in {"uniform", "logged"}:
        raise InvalidRequest(
            f"--policy {name} chooses one action, no ranking. Judge uniform or logged rankings, or give the columns "
            "target_pscore, target_pscore_cascade and target_pscore_item_position."
        )
    rewards = _rewards(found)
    if name == "logged":
        one = pl.lit(1.0)
        slots = range(found.slots)
        return rewards | {SLATE: one, PSEUDO: one} | {at(kind, slot): one for kind in (PREFIX, ITEM) for slot in slots}
    count, scores = pl.col(DISTRIBUTION).list.len(), rewards
    drawn = [_or_one("pscore_cascade", slot, 1.0 / (count - slot)) for slot in range(found.slots)]
    if {"pscore", "pscore_cascade"} <= found.whole:
        scores[SLATE] = reduce(mul, drawn) / pl.col("pscore")
    if "pscore_cascade" in found.whole:
        scores |= _each(found, PREFIX, lambda slot: reduce(mul, drawn[: slot + 1]) / _at("pscore_cascade", slot))
    if "pscore_item_position" in found.whole:
        scores |= _each(
            found,
            ITEM,
            lambda slot: _or_one("pscore_item_position", slot, 1.0 / count) / _at("pscore_item_position", slot),
        )
    return scores


def scored_against(name: str, found: Survey, *, policy: Policy | None) -> dict[str, pl.Expr]:
    """Return the raw weights of the policy that rankings are compared with.

    Raises InvalidRequest for one that needs columns of its own.
    """
    if policy is None and name != LOGGED:
        raise InvalidRequest(
            f"--against {name}: rankings of columns are compared with what was logged: --against {LOGGED}. For two "
            "policies of your own, take the difference of two runs, whose error is larger."
        )
    rewards = _rewards(found)
    scores = {one: score for one, score in scored_by_policy(name, found).items() if one not in rewards}
    # In place of its predictions the logging policy has what each slot did earn.
    return scores | ({CASCADE_DR: reduce(add, rewards.values())} if rewards and name == LOGGED else {})


def _rewards(found: Survey) -> dict[str, pl.Expr]:
    if "slot_rewards" not in found.whole:
        return {}
    rewards = pl.col("slot_rewards").cast(pl.List(pl.Float64))
    return _each(found, REWARD, lambda slot: rewards.list.get(slot, null_on_oob=True).fill_null(0.0))


def _cascade_dr(found: Survey, scores: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    if not {"q_slot_logged", "q_slot_target", "slot_rewards"} <= found.whole or at(PREFIX, 0) not in scores:
        return {}

    def part(slot: int) -> pl.Expr:
        q, v = (pl.col(name).list.get(slot, null_on_oob=True) for name in ("q_slot_logged", "q_slot_target"))
        above = scores[at(PREFIX, slot - 1)] if slot else pl.lit(1.0)
        reward = pl.col("slot_rewards").list.get(slot, null_on_oob=True)
        return (scores[at(PREFIX, slot)] * (reward - q) + above * v).fill_null(0.0)

    return {CASCADE_DR: reduce(add, (part(slot) for slot in range(found.slots)))}


def _each(found: Survey, name: str, of: Callable[[int], pl.Expr]) -> dict[str, pl.Expr]:
    return {at(name, slot): of(slot) for slot in range(found.slots)}


def _at(column: str, slot: int) -> pl.Expr:
    """Return a list's entry in a slot, 1 where the list is shorter."""
    return pl.col(column).cast(pl.List(pl.Float64)).list.get(slot, null_on_oob=True).fill_null(1.0)


def _or_one(column: str, slot: int, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(column).list.len() > slot).then(value).otherwise(1.0)
