"""What a ranking's slots were computed from, logged so that the probabilities of other rankings can be computed too."""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from bandit.exploration import SWITCHES, Floats, Terms, Under
from bandit.policies.base import Belief
from bandit.ranking.beliefs import Asked, written
from bandit.ranking.guards import Diversity, Eligible, FrequencyCap, GuardConfig, QualityFloor
from bandit.ranking.steps import Exploring, exploring, switched
from bandit.ranking.why_not import NotExact, WhyNot
from store.records import Decision, Law


def law_of(belief: Belief, guards: Sequence[GuardConfig], slots: int, terms: Terms | None) -> Law:
    """Return what the log keeps of a ranking with that many slots; `terms` are None under the kill switch."""
    floored = any(isinstance(guard, QualityFloor) for guard in guards)
    # These two keep any number of actions from a slot; without them only those are missing that stand in other slots.
    narrowed = floored or any(isinstance(guard, Diversity) for guard in guards)
    asked = Asked(None if narrowed else slots, deviation=floored)
    new = np.flatnonzero(terms.under.new).tolist() if terms and terms.under else []
    return Law(fingerprint(guards), *written(belief, asked), new)


def exploring_of(decision: Decision, law: Law, mean: Floats | None) -> Exploring:
    """Return how the decision's slots explored; raises `NotExact` where the log does not say all of it."""
    state = decision.guard_state
    names = {name for slot in decision.ranking for name in (slot.reason or "").split(", ")} | set(decision.trace)
    for mode, switch in SWITCHES.items():
        if f"mode_{mode}" in state or f"mode {mode}" in names:  # the latter in rows of older versions
            return switched(switch)
    if "cap" not in state or ("expected_loss" in state and "max_loss" not in state):
        raise NotExact(WhyNot.OLD_ROW)
    shut = state.get("gate_open") == 0
    return exploring(Terms(state["cap"], state["floor"], _under(decision, law), state.get("max_loss"), shut), mean)


def _under(decision: Decision, law: Law) -> Under | None:
    state = decision.guard_state
    if not state.get("new_actions"):
        return None
    if len(law.new) != state["new_actions"]:
        raise NotExact(WhyNot.OLD_ROW)
    new = np.zeros(len(decision.actions), np.bool_)
    new[law.new] = True
    return Under(new, state["ceiling"])


def fingerprint(guards: Sequence[GuardConfig]) -> str:
    """Name what a list of guards means to a slot; "" for nothing. Who is eligible is logged with each decision."""
    acting = [guard for guard in guards if not isinstance(guard, Eligible | FrequencyCap)]
    return hashlib.sha256(msgspec.json.encode(acting)).hexdigest()[:16] if acting else ""
