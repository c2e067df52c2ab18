"""The decision: a pure function from a request and a frozen policy to a decision with its exact propensities.

features -> policy distribution -> caps and guards, a fold -> sample -> record. Nothing acts after the sample.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from bandit.compiled import compiled
from bandit.exploration import Guard, Plan
from bandit.policies import randomness
from bandit.policies.base import Arms, Belief, Floats, Pmf, Policy
from bandit.policies.situation import Situation
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import Action, Decision, Slot

MAX_ACTIONS = 5000
MAX_TOP_N = 100


class DecisionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST …/decisions`."""

    actions: list[Action]
    context: dict[str, Any] = {}
    decision_id: str | None = None
    entities: dict[str, str] = {}
    top_n: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOP_N)] = 1
    exclude: list[str] = []
    deferred: bool = False

    def __post_init__(self) -> None:
        if self.deferred or self.entities:
            name = "deferred" if self.deferred else "entities"
            raise InvalidInput(f"{name!r} is set, but this version does not support it yet: leave it out")
        if not 0 < len(self.actions) <= MAX_ACTIONS:
            raise InvalidInput(f"there are {len(self.actions)} actions; a decision takes 1 to {MAX_ACTIONS}")

    def eligible(self) -> list[Action]:
        """Return the actions that are not excluded, in canonical order, which is by id.

        Raises `InvalidInput` for an id that stands twice, or when nothing is left.
        """
        by_id = {action.id: action for action in self.actions}
        if len(by_id) < len(self.actions):
            raise InvalidInput(f"action id {_first_repeated(self.actions)!r} stands twice: send each action once")
        if self.exclude:
            by_id = {name: action for name, action in by_id.items() if name not in set(self.exclude)}
        if not by_id:
            raise InvalidInput(f"all {len(self.actions)} actions are excluded: leave at least one eligible")
        return [by_id[name] for name in sorted(by_id)]


class Frame(msgspec.Struct, frozen=True):
    """What a loop brings to a decision, frozen before sampling."""

    loop: str
    secret: bytes
    config: LoopConfig
    policy: Policy
    model_version: str


def decide(frame: Frame, request: DecisionRequest, body: bytes, *, decision_id: str, at: int) -> Decision:
    """Choose a ranking, and say with which probabilities.

    Args:
        frame: the loop, its policy and its guards.
        request: the parsed request, whose bytes are `body`.
        body: the request as it was sent, kept with the decision.
        decision_id: names the decision and seeds its randomness.
        at: the time, in microseconds since 1970-01-01 UTC.

    Raises:
        InvalidInput: for duplicate ids, no eligible action, or features that cannot be read.

    """
    eligible = request.eligible()
    situation = Situation(request.context, eligible)
    situation.actions()  # features that cannot be read are the caller's error, not the policy's
    belief, failure = believe(frame, situation, decision_id)
    order = _baseline_order(request, situation.ids)
    if failure is not None:
        belief = _fallback(frame.config.fallback.kind, order)
    slots, plan = _rank(frame, request.top_n, belief, situation.ids, order, decision_id)
    return Decision(
        loop=frame.loop,
        decision_id=decision_id,
        at=at,
        due=frame.config.reward.due(at),
        request=body,
        actions=situation.ids,
        propensities=plan.q.tolist(),
        predicted=None if belief.mean is None else belief.mean.tolist(),
        ranking=slots,
        policy=frame.policy.kind if failure is None else frame.config.fallback.kind,
        model_version=frame.model_version,
        component="champion" if failure is None else "fallback",
        fallback=failure,
        trace=list(plan.trace),
        exploration=plan.exploration,
    )


def believe(frame: Frame, situation: Situation, decision_id: str) -> tuple[Belief, str | None]:
    """Return the policy's belief and None, or why it cannot be used."""
    frozen = functools.partial(randomness.generator, frame.secret, decision_id, frame.model_version)
    try:
        belief = frame.policy.believe(situation, frozen)
        numbers = belief.distribution(np.arange(len(situation.ids))) if belief.mean is None else belief.mean
        # A sum is finite only if everything in it is.
        return belief, None if math.isfinite(numbers.sum()) else "the policy's numbers are not finite"
    except Exception as error:  # noqa: BLE001  # whatever a policy raises, the request gets an answer
        return Pmf(np.zeros(len(situation.ids))), f"the policy failed: {error!r}"


@compiled
def sample(q: Floats, u: float) -> int:
    """Return the index that u in [0, 1) falls on when [0, 1) is divided in the proportions of q.

    The one place that samples. An index of probability 0 is never returned.
    """
    reached, last, mark = 0.0, 0, u * _total(q)
    for k in range(len(q)):
        if q[k] > 0:
            reached, last = reached + q[k], k
            if mark < reached:
                break
    return last


@compiled
def _total(q: Floats) -> float:
    total = 0.0
    for k in range(len(q)):
        total += q[k]
    return total


def _rank(
    frame: Frame, top_n: int, belief: Belief, ids: Sequence[str], order: Arms, decision_id: str
) -> tuple[list[Slot], Plan]:
    """Fill the slots one after the other, each from the distribution over what is left; return the first one's plan."""
    guards = frame.config.exploration.guards()
    left = list(range(len(ids)))
    slots: list[Slot] = []
    plans: list[Plan] = []
    for slot in range(min(top_n, len(ids))):
        plan = functools.reduce(_apply, guards, _start(belief, np.array(left), order))
        chosen = sample(plan.q, randomness.uniform(frame.secret, decision_id, frame.model_version, slot))
        slots.append(Slot(ids[left.pop(chosen)], float(plan.q[chosen]), not plan.greedy[chosen], plan.reason))
        plans.append(plan)
    return slots, plans[0]


def _start(belief: Belief, left: Arms, order: Arms) -> Plan:
    """Return the policy's own distribution over what is left; greedy are all actions of the highest mean."""
    q = belief.distribution(left)
    scores = q if belief.mean is None else belief.mean[left]
    return Plan(q, scores == scores.max(), int(order[left].argmin()))


def _fallback(kind: str, order: Arms) -> Belief:
    return Pmf((order == order.min()).astype(float) if kind == "baseline" else np.full(len(order), 1 / len(order)))


def _apply(plan: Plan, guard: Guard) -> Plan:
    return guard(plan)


def _baseline_order(request: DecisionRequest, ids: Iterable[str]) -> Arms:
    """Return each eligible action's place in the request, the only thing that request order matters for."""
    place = {action.id: i for i, action in enumerate(request.actions)}
    return np.array([place[name] for name in ids])


def _first_repeated(actions: Iterable[Action]) -> str:
    seen: set[str] = set()
    return next(a.id for a in actions if a.id in seen or seen.add(a.id))  # type: ignore[func-returns-value]  # adds
