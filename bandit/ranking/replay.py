"""A logged ranking's marginals: how likely each served action was to stand in its slot, whatever stood above."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from bandit.exploration.plan import Floats
from bandit.ranking.beliefs import read
from bandit.ranking.guards import GuardConfig
from bandit.ranking.logged import exploring_of, fingerprint
from bandit.ranking.marginals import MOST_STATES, marginals
from bandit.ranking.pairs import uniform_pi_weight
from bandit.ranking.plackett_luce import race
from bandit.ranking.slate import GuardedSlate, Slate
from bandit.ranking.steps import OpenSlate
from bandit.ranking.why_not import NotExact, WhyNot
from store.records import Action, Decision

_AGREES = 1e-9


class _Sent(msgspec.Struct):
    """The part of a decision's request that its ranking depends on."""

    actions: list[Action]
    top_n: int = 1


_sent = msgspec.json.Decoder(_Sent).decode


class SlotMarginals(NamedTuple):
    """The probability of each slot's action to stand there, or None and why that cannot be told exactly."""

    probabilities: list[float] | None
    why_not: WhyNot | None = None


def slot_marginals(decision: Decision, guards: Sequence[GuardConfig], most_states: int = MOST_STATES) -> SlotMarginals:
    """Return the served actions' marginals; `guards` are the loop's ranking guards now.

    At most `most_states` states are visited; 0 means that rankings of several slots are not asked about.
    """
    served = _served(decision)
    if len(served) == 1:
        return SlotMarginals([decision.propensities[served[0]]])
    try:
        return SlotMarginals(_of_served(decision, guards, served, most_states))
    except NotExact as reason:
        return SlotMarginals(None, reason.why)


def uniform_pi(decision: Decision, guards: Sequence[GuardConfig], most_states: int = MOST_STATES) -> float | None:
    """Return the pseudo-inverse's weight of the served ranking for a target that ranks uniformly, None if not known.

    Of one slot that is the plain weight. `guards` and `most_states` are as for `slot_marginals`.
    """
    served, count = _served(decision), len(decision.actions)
    if len(served) == 1:
        return 1 / (count * decision.propensities[served[0]])
    try:
        return (
            uniform_pi_weight(slate_of(decision, guards), count, np.array(served), most_states) if most_states else None
        )
    except NotExact:
        return None


def all_marginals(decision: Decision, guards: Sequence[GuardConfig], most_states: int = MOST_STATES) -> Floats:
    """Return the probability of each eligible action in each slot, shape (slots, K); raises `NotExact`."""
    if len(decision.ranking) == 1:  # which logs nothing more
        return np.array([decision.propensities])
    slate = slate_of(decision, guards)
    filled = marginals(slate, len(decision.actions), len(decision.ranking), most_states)
    if filled is None:
        raise NotExact(WhyNot.TOO_MANY_SETS)
    return filled


def slate_of(decision: Decision, guards: Sequence[GuardConfig]) -> Slate:
    """Return the slate that a decision of several slots was sampled from, to be asked about other rankings too.

    Raises `NotExact` where the decision was made under other guards, where the log lacks what its slots depended on, or
    where the slate's propensities for the ranking that was served are not those that were logged.
    """
    law = decision.law
    if law is None:
        raise NotExact(WhyNot.OLD_ROW)
    if law.guards != fingerprint(guards):
        raise NotExact(WhyNot.GUARDS_CHANGED)
    sent = _sent(decision.request)
    place = {action.id: i for i, action in enumerate(sent.actions)}
    order = np.array([place[name] for name in decision.actions])
    mean = None if decision.predicted is None else np.array(decision.predicted)
    belief, exploring = read(law.shape, law.numbers, mean, order), exploring_of(decision, law, mean)
    if guards:
        actions = [sent.actions[i] for i in order]
        slate: Slate = GuardedSlate(actions, belief, order, exploring, guards, sent.top_n)
    else:
        slate = OpenSlate(belief, order, exploring.fold)
    if not _agrees(decision, slate):
        raise NotExact(WhyNot.DIFFERS)
    return slate


def plain(decision: Decision, guards: Sequence[GuardConfig]) -> Floats | None:
    """Return the probabilities that every slot renormalises, shape (K,), or None where slots do more than that.

    So it is for fixed probabilities above 0 that neither cap nor floor can change: all alike, or no cap and no floor.
    """
    law, state, p = decision.law, decision.guard_state, np.array(decision.propensities)
    if guards or law is None or law.shape != "pmf" or decision.predicted is not None or "cap" not in state:
        return None
    if state.get("new_actions"):
        return None
    alike = bool((p == p[0]).all())
    return p if p.min() > 0 and (alike or (state["cap"] == 1 and state["floor"] == 0)) else None


def _of_served(
    decision: Decision, guards: Sequence[GuardConfig], served: Sequence[int], most_states: int
) -> list[float]:
    if not most_states:
        raise NotExact(WhyNot.LEFT_OUT)
    p = plain(decision, guards)
    if p is not None:
        slate_of(decision, guards)
        found = [probability for slot, arm in enumerate(served) if (probability := race(p, arm, slot)) is not None]
        if len(found) == len(served):
            return found
    filled = all_marginals(decision, guards, most_states)
    return [float(filled[slot, arm]) for slot, arm in enumerate(served)]


def _served(decision: Decision) -> list[int]:
    places = {name: i for i, name in enumerate(decision.actions)}
    return [places[slot.action] for slot in decision.ranking]


def _agrees(decision: Decision, slate: Slate) -> bool:
    """Say whether the slate gives the logged first distribution, and each slot its logged propensity."""
    served, explored = _served(decision), 0
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
