"""A decision's guards, in order, made of the numbers that it logs: serving and the export make them here.

kill switch -> ceilings -> value guard -> conservative gate -> budget -> cap and floor, one projection.
"""

from typing import NamedTuple

from bandit.exploration import conservative
from bandit.exploration.ceiling import Under, ceiling, reclaim
from bandit.exploration.kill_switch import only_baseline, only_greedy
from bandit.exploration.plan import Floats, Guard, Plan
from bandit.exploration.projection import cap_and_floor
from bandit.exploration.value_guard import value_guard

SWITCHES: dict[str, Guard] = {"greedy": only_greedy, "baseline": only_baseline}
"""What the kill switch does in each mode; it acts alone."""


class Terms(NamedTuple):
    """What the guards are made of: the cap and the floor in force, and what is None or False where it is off.

    `under` are the new actions and their ceiling, `max_loss` is the value guard's, `shut` says that the conservative
    gate is closed. `budgeted` says that the budget lowered the cap, `spent` that it left less than the floor: these two
    are told in the trace and change nothing else.
    """

    cap: float
    floor: float
    under: Under | None = None
    max_loss: float | None = None
    shut: bool = False
    budgeted: bool = False
    spent: bool = False


def fold(terms: Terms, mean: Floats | None) -> tuple[Guard, ...]:
    """Return the guards in order; `mean`, shape (K,), are the predicted rewards of the decision's eligible actions."""
    guards: list[Guard] = []
    if terms.under is not None:
        guards.append(ceiling(terms.under, mean))
    if terms.max_loss is not None:
        guards.append(value_guard(terms.max_loss, mean))
        if terms.under is not None:
            guards.append(reclaim(terms.under))
    if terms.shut:
        guards.append(conservative.closed)
    if terms.spent:
        guards.append(_budget_spent)
    name = "exploration.budget" if terms.budgeted else "exploration.cap"
    return (*guards, cap_and_floor(terms.cap, terms.floor, name))


def references(terms: Terms, mean: Floats | None) -> tuple[Guard, ...]:
    """Return those of the guards that say what is no exploration, for a slot that a ranking guard keeps from it.

    An action under its ceiling is exploration, and so is everything but the baseline while the gate is shut.
    """
    ceilings = () if terms.under is None else (ceiling(terms.under, mean),)
    return (*ceilings, conservative.closed) if terms.shut else ceilings


def _budget_spent(plan: Plan) -> Plan:
    return plan.named("exploration.budget spent: the floor only")
