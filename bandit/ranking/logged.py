"""What a ranking's slots were computed from, logged so that the probabilities of other rankings can be computed too.

A belief is a few arrays of one number per action; frozen draws are too many to log, so those rankings cannot be asked.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from bandit.exploration import cap_and_floor, only_baseline, only_greedy
from bandit.exploration.conservative import closed
from bandit.exploration.plan import Guard
from bandit.policies.base import Belief, Gaussian, Index, Pmf
from bandit.ranking.guards import GuardConfig
from bandit.ranking.steps import Exploring
from store.records import Decision, Law

_SWITCHES: dict[str, Guard] = {"mode greedy": only_greedy, "mode baseline": only_baseline}


def law_of(belief: Belief, guards: Sequence[GuardConfig]) -> Law | None:
    """Return a belief and the guards' fingerprint for the log, or None for a belief of another shape."""
    name = fingerprint(guards)
    if isinstance(belief, Gaussian) and belief.deviation is not None:
        return Law(name, "gaussian", [belief.deviation.tolist(), [belief.scale]])
    if isinstance(belief, Index):
        return Law(name, "index", [belief.scores.tolist(), *_deviation(belief)])
    if isinstance(belief, Pmf):
        return Law(name, "pmf", [belief.probabilities.tolist(), *_deviation(belief)])
    return None


def belief_of(law: Law, predicted: Sequence[float] | None) -> Belief:
    """Return the belief that was logged; `predicted` are the decision's predicted rewards."""
    mean = None if predicted is None else np.array(predicted)
    first, *rest = [np.array(numbers) for numbers in law.numbers]
    if law.shape == "gaussian" and mean is not None:
        return Gaussian(mean, first, float(rest[0][0]))
    deviation = rest[0] if rest else None
    if law.shape == "index" and mean is not None:
        return Index(first, mean, deviation)
    return Pmf(first, mean, deviation)


def exploring_of(decision: Decision) -> Exploring | None:
    """Return how the decision's slots explored, or None where the log does not hold all that it depended on.

    That is so under a value guard, and under ceilings where an action was new.
    """
    state = decision.guard_state
    names = {name for slot in decision.ranking for name in (slot.reason or "").split(", ")} | set(decision.trace)
    for name, switch in _SWITCHES.items():
        if name in names:
            return Exploring((switch,), steered=True)
    if "cap" not in state or "expected_loss" in state or state.get("new_actions"):
        return None
    last = cap_and_floor(state["cap"], state["floor"])
    shut = "exploration.conservative" in names
    return Exploring((closed, last) if shut else (last,), state["cap"], state["floor"], shut)


def fingerprint(guards: Sequence[GuardConfig]) -> str:
    """Name a list of guards; "" for none."""
    return hashlib.sha256(msgspec.json.encode(guards)).hexdigest()[:16] if guards else ""


def _deviation(belief: Belief) -> list[list[float]]:
    return [] if belief.deviation is None else [belief.deviation.tolist()]
