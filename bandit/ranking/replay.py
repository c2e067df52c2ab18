"""A logged ranking's marginals: how likely each served action was to stand in its slot, whatever stood above."""

from collections.abc import Sequence

import msgspec
import numpy as np

from bandit.exploration.plan import Floats
from bandit.ranking.guards import GuardConfig
from bandit.ranking.logged import belief_of, exploring_of, fingerprint
from bandit.ranking.marginals import MOST_STATES, marginals
from bandit.ranking.plackett_luce import race
from bandit.ranking.slate import GuardedSlate, Slate
from bandit.ranking.steps import OpenSlate
from store.records import Action, Decision, Law

_AGREES = 1e-9


class _Sent(msgspec.Struct):
    """The part of a decision's request that its ranking depends on."""

    actions: list[Action]
    top_n: int = 1


_sent = msgspec.json.Decoder(_Sent).decode


def slot_marginals(
    decision: Decision, guards: Sequence[GuardConfig], most_states: int = MOST_STATES
) -> list[float] | None:
    """Return the probability of each slot's action to stand there, or None where that cannot be told exactly.

    `guards` are the loop's ranking guards now. It cannot be told where the decision was made under others, where the
    log lacks what its slots depended on, where too much can stand above (`most_states`), or where what is computed now
    does not agree with what was logged.
    """
    places = {name: i for i, name in enumerate(decision.actions)}
    served = [places[slot.action] for slot in decision.ranking]
    if len(served) == 1:
        return [decision.propensities[served[0]]]
    slate = None if decision.law is None or not most_states else _slate(decision, decision.law, guards)
    if slate is None or not _agrees(decision, slate, served):
        return None
    p = plain(decision, guards)
    if p is not None:
        found = [race(p, arm, slot) for slot, arm in enumerate(served)]
        return None if None in found else found  # type: ignore[return-value]  # the line says so
    filled = marginals(slate, len(places), len(served), most_states)
    return None if filled is None else [float(filled[slot, arm]) for slot, arm in enumerate(served)]


def plain(decision: Decision, guards: Sequence[GuardConfig]) -> Floats | None:
    """Return the probabilities that every slot renormalises, shape (K,), or None where slots do more than that.

    So it is for fixed probabilities above 0 that neither cap nor floor can change: all alike, or no cap and no floor.
    """
    law, state, p = decision.law, decision.guard_state, np.array(decision.propensities)
    if guards or law is None or law.shape != "pmf" or decision.predicted is not None or "cap" not in state:
        return None
    alike = bool((p == p[0]).all())
    return p if p.min() > 0 and (alike or (state["cap"] == 1 and state["floor"] == 0)) else None


def _slate(decision: Decision, law: Law, guards: Sequence[GuardConfig]) -> Slate | None:
    exploring = exploring_of(decision)
    if exploring is None or law.guards != fingerprint(guards):
        return None
    sent = _sent(decision.request)
    belief = belief_of(law, decision.predicted)
    place = {action.id: i for i, action in enumerate(sent.actions)}
    order = np.array([place[name] for name in decision.actions])
    if not guards:
        return OpenSlate(belief, order, exploring.fold)
    by_id = {action.id: action for action in sent.actions}
    return GuardedSlate([by_id[name] for name in decision.actions], belief, order, exploring, guards, sent.top_n)


def _agrees(decision: Decision, slate: Slate, served: Sequence[int]) -> bool:
    """Say whether the slate gives the logged first distribution, and each slot its logged propensity."""
    explored = 0
    for slot, arm in enumerate(served):
        step = slate.step(served[:slot], explored)
        if step is None or arm not in step.among:
            return False
        q = np.zeros(len(decision.actions))
        q[step.among] = step.plan.q
        logged = decision.ranking[slot]
        if abs(q[arm] - logged.propensity) > _AGREES:
            return False
        if slot == 0 and np.abs(q - decision.propensities).max() > _AGREES:
            return False
        explored += logged.explored
    return True
