"""A decision's limits, frozen before anything is sampled: what its past and the model's belief make of its guards."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bandit.exploration.ceiling import Under, ceiling
from bandit.exploration.config import ExplorationConfig
from bandit.exploration.fold import SWITCHES, Terms, fold
from bandit.exploration.history import Past
from bandit.exploration.plan import Floats, Guard, Plan
from bandit.exploration.value_guard import gaps, value_guard


class Limits(NamedTuple):
    """The guards that a decision's slots go through, and what they were made of, for the record.

    `terms` are what the guards are made of, None under the kill switch, and `state` the numbers to log.
    """

    guards: tuple[Guard, ...]
    state: dict[str, float]
    terms: Terms | None = None


class Known(NamedTuple):
    """What is known of a decision before its guards: its time, its eligible actions, what the model believes of them.

    `mean` and `deviation` have shape (K,) or are None, `baseline` is the index of the caller's first choice, and
    `learned` is the number of outcomes that the model has learned.
    """

    at: int
    entities: Mapping[str, str]
    actions: Sequence[str]
    baseline: int
    mean: Floats | None
    deviation: Floats | None
    learned: int


def plain_limits(config: ExplorationConfig) -> Limits:
    """Return the limits of a config that is plain by now: cap and floor. They are shared: do not change them."""
    return _plain(config.cap, config.floor)


@functools.lru_cache(maxsize=64)
def _plain(cap: float, floor: float) -> Limits:
    terms = Terms(cap, floor)
    return Limits(fold(terms, None), {"cap": cap, "floor": floor}, terms)


def limits(config: ExplorationConfig, past: Past, known: Known) -> Limits:
    """Return the decision's guards in order, as its past and the model's belief make them."""
    if config.mode != "on":
        gate_state = past.gate.state() if past.gate else {}
        return Limits((SWITCHES[config.mode],), gate_state | {f"mode_{config.mode}": 1.0})
    cap, floor = config.in_force(known.learned)
    # Allowance and gate may leave less than the floor; the floor is what makes a log worth evaluating.
    allowance = past.allowance(known.at, known.entities) if config.budget else 1.0
    under = Under(past.new(known.actions), config.ceiling.probability) if config.ceiling else None
    gate_state = _gate_state(past, known) if config.conservative else {}
    terms = Terms(
        cap=max(floor, min(cap, allowance)),
        floor=floor,
        under=under,
        max_loss=config.value_guard.max_loss if config.value_guard else None,
        shut=gate_state.get("gate_open") == 0,
        budgeted=allowance < cap,
        spent=allowance < floor,
    )
    state = gate_state | {"cap": terms.cap, "floor": floor}
    if under is not None:
        state |= {"ceiling": under.probability, "new_actions": float(under.new.sum())}
    if terms.max_loss is not None:
        state["max_loss"] = terms.max_loss
    if config.budget:
        state["allowance"] = allowance
    return Limits(fold(terms, known.mean), state, terms)


def settled(state: dict[str, float], config: ExplorationConfig, plan: Plan, mean: Floats | None) -> dict[str, float]:
    """Return the state with what follows from the first slot's final distribution, before its draw."""
    if config.mode != "on":
        return state
    if config.value_guard is not None and mean is not None:
        state["expected_loss"] = float(plan.q @ gaps(plan, mean))
    # A distribution that keeps the baseline's share cannot fall behind it: it owes nothing.
    if config.conservative is not None and plan.q[plan.baseline] >= 1 - config.conservative.alpha:
        state["gate_price"] = 0.0
    return state


def warm_up_guards() -> None:
    """Compile what the guards run that a loop may or may not have: no decision should wait for that."""
    plan = Plan(np.array([0.5, 0.5]), np.array([True, False]), 0)
    ceiling(Under(np.array([True, False]), 0.1), None)(plan)
    value_guard(0.0, np.array([1.0, 0.0]))(plan)


def _gate_state(past: Past, known: Known) -> dict[str, float]:
    if past.gate is None:
        return {"gate_open": 0.0}  # nothing is known of what was earned
    b = known.baseline
    price = past.gate.price(
        None if known.mean is None else float(known.mean[b]),
        None if known.deviation is None else float(known.deviation[b]),
    )
    allowed = float(past.gate.allows(price))
    return past.gate.state() | {"baseline": float(b), "gate_open": allowed, "gate_price": price}
