r"""Caps and floors: each maps a distribution to a distribution, before anything is sampled.

With eligible actions A, greedy actions G (those of the highest mean) and phi = floor / |A|, the result q is the
information projection (argmin KL(q || p), Csiszar 1975) of the policy's p on

    q_k >= phi for all k,   sum of q over A \\ G <= cap.

Its solution is q_k = max(phi, m p_k) with one multiplier m if the cap is slack, else one for G and one for the rest.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from store.errors import InvalidInput

Floats: TypeAlias = NDArray[np.float64]
Marks: TypeAlias = NDArray[np.bool_]


class Plan(msgspec.Struct, frozen=True):
    """A slot's distribution on its way to be sampled.

    `q`, shape (K,), sums to 1, `greedy` marks G, `baseline` is the index of the caller's first choice. `reason`
    names what forced the slot, `trace` all that changed `q`.
    """

    q: Floats
    greedy: Marks
    baseline: int
    reason: str | None = None
    trace: tuple[str, ...] = ()

    @property
    def exploration(self) -> float:
        """The probability off the greedy actions."""
        return float(_off(self.q, self.greedy))


Guard: TypeAlias = Callable[[Plan], Plan]


class ExplorationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a loop explores.

    `cap` bounds the total probability off the greedy actions, `floor` is the total probability that is spread evenly
    so that every eligible action can be evaluated. `mode` is the kill switch: `greedy` or `baseline` serve only that,
    from the next decision on. `budget` is not available yet.
    """

    mode: Literal["on", "greedy", "baseline"] = "on"
    cap: float = 0.2
    floor: float = 0.01
    budget: None = None

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.cap <= 1:
            raise InvalidInput(
                f"exploration.floor is {self.floor!r} and exploration.cap {self.cap!r}; "
                "they must be 0 <= floor <= cap <= 1: lower the floor or raise the cap"
            )

    def guards(self) -> tuple[Guard, ...]:
        """Return what the policy's distribution goes through, in order."""
        if self.mode == "greedy":
            return (only_greedy,)
        if self.mode == "baseline":
            return (only_baseline,)
        return (cap_and_floor(self.cap, self.floor),)


def only_greedy(plan: Plan) -> Plan:
    """Serve a greedy action; ties evenly."""
    return _forced(plan, plan.greedy / plan.greedy.sum(), "mode greedy")


def only_baseline(plan: Plan) -> Plan:
    """Serve the caller's first eligible choice."""
    return _forced(plan, (np.arange(len(plan.q)) == plan.baseline).astype(float), "mode baseline")


def cap_and_floor(cap: float, floor: float) -> Guard:
    """Return the projection on at most `cap` off the greedy actions and at least `floor` / K on each action."""

    def project(plan: Plan) -> Plan:
        q, floored, capped = _project(plan.q, plan.greedy, cap, floor)
        trace = plan.trace
        if floored:
            trace = (*trace, "exploration.floor")
        if capped:
            trace = (*trace, "exploration.cap")
        return Plan(q, plan.greedy, plan.baseline, plan.reason, trace)

    return project


@compiled
def _project(p: Floats, greedy: Marks, cap: float, floor: float) -> tuple[Floats, bool, bool]:
    """Return the projection, and whether the floor and the cap changed anything."""
    phi = floor / len(p)
    floored = p.min() < phi
    q = fill(p, phi, 1.0) if floored else p
    allowed = min(cap, 1.0 - phi * greedy.sum())
    capped = _off(q, greedy) > allowed
    if capped:
        # The greedy actions and the others are filled apart, the others with what is allowed.
        q = np.empty(len(p))
        q[greedy] = fill(p[greedy], phi, 1.0 - allowed)
        q[~greedy] = fill(p[~greedy], phi, allowed)
    return q, floored, capped


@compiled
def fill(p: Floats, phi: float, total: float) -> Floats:
    """Return max(phi, m p) with the m for which it sums to `total`; even where all of p is 0.

    Needs K phi <= total. Exact: each round puts the entries on the floor that the last m left below it, and m only
    falls, so after at most K rounds, and mostly after one or two, none is left to add.
    """
    q = p.copy()
    above, before = len(p), len(p) + 1
    while above < before:
        share = 0.0
        for k in range(len(p)):
            share += p[k] if q[k] > phi or above == len(p) else 0.0
        if share <= 0:
            return np.full(len(p), total / len(p))
        rest, before, above = total - (len(p) - above) * phi, above, 0
        for k in range(len(p)):
            # A share of the sum first: m itself is beyond float64 where p is tiny.
            q[k] = max(phi, p[k] / share * rest)
            above += q[k] > phi
    q[q.argmax()] += total - q.sum()
    return q


@compiled
def _off(q: Floats, greedy: Marks) -> float:
    total = 0.0
    for k in range(len(q)):
        if not greedy[k]:
            total += q[k]
    return total


def _forced(plan: Plan, q: Floats, reason: str) -> Plan:
    return msgspec.structs.replace(plan, q=q, reason=reason, trace=(*plan.trace, reason))
