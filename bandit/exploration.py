r"""Caps and floors: each maps a distribution to a distribution, before anything is sampled.

With eligible actions A, greedy actions G (those of the highest mean) and phi = floor / |A|, the result q is the
information projection (argmin KL(q || p), Csiszar 1975) of the policy's p on

    q_k >= phi for all k,   sum of q over A \\ G <= cap.

Its solution is q_k = max(phi, m p_k) with one multiplier m if the cap is slack, else one for G and one for the rest.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from store.errors import InvalidInput

Probabilities: TypeAlias = list[float]
"""Plain floats: a decision has few actions, and each numpy call costs what ten of them do."""


class Plan(msgspec.Struct, frozen=True):
    """A slot's distribution on its way to be sampled.

    `q` has K entries that sum to 1, `greedy` marks G, `baseline` is the index of the caller's first choice. `reason`
    names what forced the slot, `trace` all that changed `q`.
    """

    q: Probabilities
    greedy: list[bool]
    baseline: int
    reason: str | None = None
    trace: tuple[str, ...] = ()

    @property
    def exploration(self) -> float:
        """The probability off the greedy actions."""
        return _off(self.q, self.greedy)


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
    return _forced(plan, [float(k == plan.baseline) for k in range(len(plan.q))], "mode baseline")


def cap_and_floor(cap: float, floor: float) -> Guard:
    """Return the projection on at most `cap` off the greedy actions and at least `floor` / K on each action."""

    def project(plan: Plan) -> Plan:
        phi = floor / len(plan.q)
        q, trace = plan.q, plan.trace
        if min(q) < phi:
            q, trace = fill(q, phi, 1.0), (*trace, "exploration.floor")
        allowed = min(cap, 1.0 - phi * sum(plan.greedy))
        if _off(q, plan.greedy) > allowed:
            q, trace = _capped(plan, phi, allowed), (*trace, "exploration.cap")
        return Plan(q, plan.greedy, plan.baseline, plan.reason, trace)

    return project


def fill(p: Sequence[float], phi: float, total: float) -> Probabilities:
    """Return max(phi, m p) with the m for which it sums to `total`; even where all of p is 0.

    Needs K phi <= total. Exact: each round puts the entries on the floor that the last m left below it, and m only
    falls, so after at most K rounds, and mostly after one or two, none is left to add.
    """
    share, rest, floored = 0.0, 0.0, -1
    above = p
    while len(p) - len(above) > floored:
        floored, share = len(p) - len(above), sum(above)
        if share <= 0:
            return [total / len(p)] * len(p)
        rest = total - floored * phi
        # A share of the sum first: m itself is beyond float64 where p is tiny.
        above = [x for x in above if x / share * rest >= phi]
    q = [max(phi, x / share * rest) for x in p]
    q[q.index(max(q))] += total - sum(q)
    return q


def evenly(chosen: Sequence[bool]) -> Probabilities:
    """Return the distribution that is uniform over the marked entries."""
    count = sum(chosen)
    return [marked / count for marked in chosen]


def _capped(plan: Plan, phi: float, allowed: float) -> Probabilities:
    """Fill the greedy actions and the others apart, the others with what is allowed."""
    groups = {
        True: iter(fill([x for x, g in zip(plan.q, plan.greedy, strict=True) if g], phi, 1.0 - allowed)),
        False: iter(fill([x for x, g in zip(plan.q, plan.greedy, strict=True) if not g], phi, allowed)),
    }
    return [next(groups[g]) for g in plan.greedy]


def _off(q: Sequence[float], greedy: Sequence[bool]) -> float:
    return sum(x for x, g in zip(q, greedy, strict=True) if not g)


def _forced(plan: Plan, q: Probabilities, reason: str) -> Plan:
    return msgspec.structs.replace(plan, q=q, reason=reason, trace=(*plan.trace, reason))
