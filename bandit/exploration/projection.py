r"""Cap and floor as one projection, the last thing before the draw.

With eligible actions A, greedy actions G (those of the highest mean) and phi = floor / |A|, the result q is the
information projection (argmin KL(q || p), Csiszar 1975) of the policy's p on

    q_k >= phi for all k,   sum of q over A \\ G <= cap.

Its solution is q_k = max(phi, m p_k) with one multiplier m if the cap is slack, else one for G and one for the rest.
"""

import numpy as np

from bandit.compiled import compiled
from bandit.exploration.plan import Floats, Guard, Marks, Plan, off


def cap_and_floor(cap: float, floor: float, cap_name: str = "exploration.cap") -> Guard:
    """Return the projection on at most `cap` off the greedy actions and at least `floor` / K on each action.

    Needs 0 <= floor <= cap <= 1. Where the cap binds, the trace gets `cap_name`.
    """

    def project(plan: Plan) -> Plan:
        q, floored, capped = _project(plan.q, plan.greedy, cap, floor)
        trace = plan.trace
        if floored:
            trace = (*trace, "exploration.floor")
        if capped:
            trace = (*trace, cap_name)
        return Plan(q, plan.greedy, plan.baseline, plan.reason, trace, plan.left)

    return project


@compiled
def _project(p: Floats, greedy: Marks, cap: float, floor: float) -> tuple[Floats, bool, bool]:
    """Return the projection, and whether the floor and the cap changed anything."""
    phi = floor / len(p)
    floored = p.min() < phi
    q = fill(p, phi, 1.0) if floored else p
    allowed = min(cap, 1.0 - phi * greedy.sum())
    capped = off(q, greedy) > allowed
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
