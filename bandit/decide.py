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
from bandit.exploration import History, Known, Limits, Past, limits, plain_limits, settled
from bandit.policies import randomness
from bandit.policies.base import Arms, Belief, Floats, Pmf, Policy
from bandit.policies.plain import Ordered
from bandit.policies.situation import Situation
from bandit.ranking.eligibility import EXCLUDE, Pool, narrow, told
from bandit.ranking.frequency import Served
from bandit.ranking.logged import law_of
from bandit.ranking.slate import GuardedSlate, Slate
from bandit.ranking.steps import Exploring, OpenSlate, Step, exploring, switched
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import MAX_ID_LENGTH, Action, Decision, Slot

MAX_ACTIONS = 5000
MAX_TOP_N = 100
MAX_ENTITIES = 16


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
        if self.entities:
            _check_entities(self.entities)
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


_NO_PAST = History()


class Frame(msgspec.Struct, frozen=True):
    """What a loop brings to a decision, frozen before sampling.

    `learned` is the number of settled decisions in the policy's state, `past` what the loop's guards know of its
    history, `frequency` what its frequency caps remember, and `revision` numbers its config.
    """

    loop: str
    secret: bytes
    config: LoopConfig
    policy: Policy
    model_version: str
    learned: int = 0
    past: Past = _NO_PAST
    frequency: Served | None = None
    revision: int = 0


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
    pool = _pool(frame, request, at)
    situation = Situation(request.context, pool.actions, request.actions)
    situation.table()  # features that cannot be read are the caller's error, not the policy's
    belief, failure = believe(frame, situation, decision_id)
    order = _baseline_order(request, situation.ids)
    if failure is not None:
        belief = _fallback(frame.config.fallback.kind, order)
    first = _first_choice(frame, request, pool, belief, order)
    caps = _limits(frame, request, belief, situation.ids, first, at)
    slate = _slate(frame, request, pool, belief, order, caps)
    slots, steps, placed = _rank(frame, request.top_n, slate, situation.ids, decision_id)
    plan = steps[0].whole(order)
    return Decision(
        loop=frame.loop,
        decision_id=decision_id,
        at=at,
        due=frame.config.reward.due(at),
        request=body,
        actions=situation.ids,
        propensities=plan.q.tolist(),
        predicted=None if belief.mean is None else belief.mean.tolist(),
        ranking=_explained(slots, pool) if pool.removed else slots,
        policy=frame.policy.kind if failure is None else frame.config.fallback.kind,
        model_version=frame.model_version,
        component="champion" if failure is None else "fallback",
        fallback=failure,
        trace=[*pool.acted, *steps[0].acted, *plan.trace] if frame.config.guards else list(plan.trace),
        exploration=plan.exploration,
        guard_state=settled(caps.state, frame.config.exploration, plan, belief.mean),
        withheld=pool.withheld,
        short=_short(request, pool, slate, placed) if len(slots) < request.top_n else None,
        law=law_of(belief, frame.config.guards, len(slots), caps.terms) if _has_law(slots, caps) else None,
        deferred=request.deferred,
        odds=[step.plan.odds for step in steps[1:]],
        revision=frame.revision,
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


def _first_choice(frame: Frame, request: DecisionRequest, pool: Pool, belief: Belief, order: Arms) -> int:
    """Return the index of the first of the caller's actions that may stand in the first slot: the baseline.

    Against an action that the ranking guards keep from there, a shut gate could not compare what it serves.
    """
    if frame.config.exploration.conservative is None or not frame.config.guards:
        return int(order.argmin())
    step = _guarded(frame, request, pool, belief, order, Exploring(())).step((), 0)
    return int(order.argmin() if step is None else step.among[step.plan.baseline])


def _limits(  # what a decision is made of meets here
    frame: Frame, request: DecisionRequest, belief: Belief, ids: Sequence[str], first: int, at: int
) -> Limits:
    """Freeze the exploration guards, from what is known before anything is sampled."""
    config = frame.config.exploration
    if config.is_plain(frame.learned):
        return plain_limits(config)
    known = Known(at, request.entities, ids, first, belief.mean, belief.deviation, frame.learned)
    return limits(config, frame.past, known)


def _rank(
    frame: Frame, top_n: int, slate: Slate, ids: Sequence[str], decision_id: str
) -> tuple[list[Slot], list[Step], list[int]]:
    """Fill the slots one after the other, each from its own distribution given the slots above."""
    slots: list[Slot] = []
    steps: list[Step] = []
    placed: list[int] = []
    explored = 0
    while len(slots) < top_n and (step := slate.step(placed, explored)) is not None:
        plan = step.plan
        chosen = sample(plan.q, randomness.uniform(frame.secret, decision_id, frame.model_version, len(slots)))
        arm, off = int(step.among[chosen]), not plan.greedy[chosen]
        slots.append(Slot(ids[arm], float(plan.q[chosen]), off, step.reason))
        steps.append(step)
        placed.append(arm)
        explored += off
    return slots, steps, placed


def _pool(frame: Frame, request: DecisionRequest, at: int) -> Pool:
    """Return the eligible actions: what is neither excluded by the request nor removed by the loop's guards."""
    eligible = request.eligible()
    excluded = len(request.actions) - len(eligible)
    pool = Pool(eligible, {EXCLUDE: excluded} if excluded else {})
    if not frame.config.guards:
        return pool
    spent = frame.frequency.spent(request.entities, pool.ids, at) if frame.frequency and request.entities else {}
    return narrow(pool, frame.config.guards, spent)


def _slate(  # what a decision is made of meets here
    frame: Frame, request: DecisionRequest, pool: Pool, belief: Belief, order: Arms, caps: Limits
) -> Slate:
    if not frame.config.guards:
        return OpenSlate(belief, order, caps.guards)
    how = switched(*caps.guards) if caps.terms is None else exploring(caps.terms, belief.mean)
    return _guarded(frame, request, pool, belief, order, how)


def _guarded(
    frame: Frame, request: DecisionRequest, pool: Pool, belief: Belief, order: Arms, how: Exploring
) -> GuardedSlate:
    return GuardedSlate(pool.actions, belief, order, how, frame.config.guards, request.top_n)


def _explained(slots: list[Slot], pool: Pool) -> list[Slot]:
    """Name in each slot's reason the guards that had removed actions before the policy saw any."""
    names = ", ".join(pool.acted)
    if not names:
        return slots
    return [Slot(s.action, s.propensity, s.explored, f"{names}, {s.reason}" if s.reason else names) for s in slots]


def _short(request: DecisionRequest, pool: Pool, slate: Slate, placed: Sequence[int]) -> str:
    """Say why there are fewer slots than were asked for."""
    removed = {**pool.removed, **slate.left_out(placed)}
    because = f"; {told(removed)}" if removed else ""
    return f"{len(placed)} of {request.top_n} slots are filled: the request has {len(request.actions)} actions{because}"


def _has_law(slots: list[Slot], caps: Limits) -> bool:
    """Say whether the first slot's distribution and the guard state leave something to be told."""
    return len(slots) > 1 or bool(caps.terms and caps.terms.under and caps.terms.under.new.any())


def _fallback(kind: str, order: Arms) -> Belief:
    return Ordered(order) if kind == "baseline" else Pmf(np.full(len(order), 1 / len(order)))


def _baseline_order(request: DecisionRequest, ids: Iterable[str]) -> Arms:
    """Return each eligible action's place in the request, the only thing that request order matters for."""
    place = {action.id: i for i, action in enumerate(request.actions)}
    return np.array([place[name] for name in ids])


def _check_entities(entities: dict[str, str]) -> None:
    if len(entities) > MAX_ENTITIES:
        raise InvalidInput(f"there are {len(entities)} entities; at most {MAX_ENTITIES} are allowed: leave some out")
    for key, value in entities.items():
        if not (0 < len(key) <= MAX_ID_LENGTH and 0 < len(value) <= MAX_ID_LENGTH):
            raise InvalidInput(
                f"entity {key[:50]!r} is {value[:50]!r}; a key and an id have 1 to {MAX_ID_LENGTH} characters: "
                "leave out an entity that is not known"
            )


def _first_repeated(actions: Iterable[Action]) -> str:
    seen: set[str] = set()
    return next(a.id for a in actions if a.id in seen or seen.add(a.id))  # type: ignore[func-returns-value]  # adds
