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

from bandit.policies.base import Floats, evenly
from store.errors import InvalidInput


class Plan(msgspec.Struct, frozen=True):
    """A slot's distribution on its way to be sampled.

    `q` has shape (K,) and sums to 1, `greedy` marks G, `baseline` is the index of the caller's first choice. `reason`
    names what forced the slot, `trace` all that changed `q`.
    """

    q: Floats
    greedy: NDArray[np.bool_]
    baseline: int
    reason: str | None = None
    trace: tuple[str, ...] = ()

    @property
    def exploration(self) -> float:
        """The probability off the greedy actions."""
        return float(self.q[~self.greedy].sum())


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
    return _forced(plan, evenly(plan.greedy), "mode greedy")


def only_baseline(plan: Plan) -> Plan:
    """Serve the caller's first eligible choice."""
    return _forced(plan, evenly(np.arange(len(plan.q)) == plan.baseline), "mode baseline")


def cap_and_floor(cap: float, floor: float) -> Guard:
    """Return the projection on at most `cap` off the greedy actions and at least `floor` / K on each action."""

    def project(plan: Plan) -> Plan:
        phi = floor / len(plan.q)
        off = ~plan.greedy
        q = fill(plan.q, phi, 1.0)
        trace = ("exploration.floor",) if plan.q.min() < phi else ()
        allowed = min(cap, 1.0 - phi * (len(q) - int(off.sum())))
        if q[off].sum() > allowed:
            q[off] = fill(plan.q[off], phi, allowed)
            q[plan.greedy] = fill(plan.q[plan.greedy], phi, 1.0 - allowed)
            trace = (*trace, "exploration.cap")
        return msgspec.structs.replace(plan, q=q, trace=plan.trace + trace)

    return project


def fill(p: Floats, phi: float, total: float) -> Floats:
    """Return max(phi, m p) with the m for which it sums to `total`; even where all of p is 0. Shapes (K,).

    Needs K phi <= total. Exact: each round puts the entries on the floor that the last m left below it, and m only
    falls, so after at most K rounds, and mostly after one or two, none is left to add.
    """
    share = p.sum()
    if share <= 0:
        return np.full(len(p), total / len(p))
    low, floored = p * (total / share) < phi, 0
    while (count := int(low.sum())) > floored:
        if count == len(p):
            return np.full(count, phi)
        floored, share = count, p[~low].sum()
        low = p * ((total - count * phi) / share) < phi
    q = np.where(low, phi, p * ((total - floored * phi) / share))
    q[q.argmax()] += total - q.sum()
    return np.asarray(q)


def _forced(plan: Plan, q: Floats, reason: str) -> Plan:
    return msgspec.structs.replace(plan, q=q, reason=reason, trace=(*plan.trace, reason))
