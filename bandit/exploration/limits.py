"""A decision's guards, in order, frozen before anything is sampled.

kill switch -> ceilings -> value guard -> conservative gate -> budget -> cap and floor, one projection.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bandit.exploration import conservative
from bandit.exploration.ceiling import Under, ceiling, reclaim
from bandit.exploration.config import ExplorationConfig
from bandit.exploration.history import Past
from bandit.exploration.kill_switch import only_baseline, only_greedy
from bandit.exploration.plan import Floats, Guard, Plan
from bandit.exploration.projection import cap_and_floor
from bandit.exploration.value_guard import gaps, value_guard


class Limits(NamedTuple):
    """The guards that a decision's slots go through, and the numbers that they were made of, for the record."""

    guards: tuple[Guard, ...]
    state: dict[str, float]


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
    return Limits((cap_and_floor(cap, floor),), {"cap": cap, "floor": floor})


def limits(config: ExplorationConfig, past: Past, known: Known) -> Limits:
    """Return the decision's guards in order, as its past and the model's belief make them."""
    if config.mode != "on":
        gate_state = past.gate.state() if past.gate else {}
        return Limits((only_greedy if config.mode == "greedy" else only_baseline,), gate_state)
    cap, floor = config.in_force(known.learned)
    # Allowance and gate may leave less than the floor; the floor is what makes a log worth evaluating.
    allowance = past.allowance(known.at, known.entities) if config.budget else 1.0
    budgeted = allowance < cap
    effective = max(floor, min(cap, allowance))
    guards, state = _before_the_cap(config, past, known)
    last = cap_and_floor(effective, floor, "exploration.budget" if budgeted else "exploration.cap")
    notes = (_budget_spent,) if allowance < floor else ()
    state |= {"cap": effective, "floor": floor}
    if config.budget:
        state["allowance"] = allowance
    return Limits((*guards, *notes, last), state)


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


def _before_the_cap(config: ExplorationConfig, past: Past, known: Known) -> Limits:
    guards: list[Guard] = []
    state: dict[str, float] = {}
    under = None
    if config.ceiling is not None:
        under = Under(past.new(known.actions), config.ceiling.probability)
        guards.append(ceiling(under, known.mean))
        state |= {"ceiling": under.probability, "new_actions": float(under.new.sum())}
    if config.value_guard is not None:
        guards.append(value_guard(config.value_guard.max_loss, known.mean))
        if under is not None:
            guards.append(reclaim(under))
    if config.conservative is not None and past.gate is None:
        guards.append(conservative.closed)  # nothing is known of what was earned
    if past.gate is not None:
        b = known.baseline
        price = past.gate.price(
            None if known.mean is None else float(known.mean[b]),
            None if known.deviation is None else float(known.deviation[b]),
        )
        allowed = past.gate.allows(price)
        if not allowed:
            guards.append(conservative.closed)
        state |= {**past.gate.state(), "baseline": float(b), "gate_open": float(allowed), "gate_price": price}
    return Limits(tuple(guards), state)


def _budget_spent(plan: Plan) -> Plan:
    return plan.named("exploration.budget spent: the floor only")
