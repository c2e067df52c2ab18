"""The value guard: what the model expects a decision to lose against the best action is bounded.

With gaps g_k = max(0, mu_best - mu_k), the guard is the information projection (Csiszar 1975) on E_q[g] <= d. Its
solution is exponential tilting, q_k proportional to p_k exp(-t g_k), with the smallest t >= 0 that keeps the bound.
"""

import math
from typing import Any

import msgspec
import numpy as np

from bandit.compiled import compiled
from bandit.exploration.plan import Floats, Guard, Marks, Plan
from store.errors import InvalidInput


class ValueGuardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision's expected loss against the action that looks best is at most `max_loss`, in units of reward."""

    max_loss: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_loss) and self.max_loss >= 0):
            raise InvalidInput(
                f"exploration.value_guard.max_loss is {self.max_loss!r}; it must be a finite number of at least 0, "
                "in units of reward"
            )


def value_guard(max_loss: float, mean: Floats | None) -> Guard:
    """Return the tilting to an expected loss of at most `max_loss`; `mean` has shape (K,), None leaves all as it is."""

    def tilt(plan: Plan) -> Plan:
        if mean is None:
            return plan.named("exploration.value_guard waived: the policy predicts no mean")
        q, tilted = tilted_to(plan.q, gaps(plan, mean), plan.greedy, max_loss)
        if not tilted:
            return plan
        trace = (*plan.trace, "exploration.value_guard")
        return Plan(q, plan.greedy, plan.baseline, plan.reason, trace, plan.left)

    return tilt


def gaps(plan: Plan, mean: Floats) -> Floats:
    """Return how much less than the greedy actions each of the slot's actions is expected to earn, shape (K,)."""
    own = plan.own(mean)
    return np.asarray(np.maximum(own[plan.greedy].max() - own, 0.0))


@compiled
def tilted_to(p: Floats, gap: Floats, greedy: Marks, most: float) -> Any:  # noqa: ANN401  # numba's tuple
    """Return the projection of p on sum q_k gap_k <= most, and whether it differs from p.

    Where every action that p supports loses `most` or more, no tilting of p is enough. Then q is the limit, as e goes
    to 0, of the projection of p with a share e on the greedy actions: it mixes those with the supported action that
    loses least.
    """
    if _loss(p, gap) <= most:
        return p, False
    nearest, largest = np.inf, 0.0
    for k in range(len(p)):
        if p[k] > 0:
            nearest, largest = min(nearest, gap[k]), max(largest, gap[k])
    if nearest >= most:
        q = np.where(gap == nearest, p, 0.0)
        # A share of the sum first: its inverse is beyond float64 where p is tiny.
        q = q / q.sum() * (1.0 if nearest == 0 else most / nearest)
        return q + greedy * (max(0.0, 1.0 - q.sum()) / greedy.sum()), True
    # In units of the largest supported gap, which may be tiny: t has no unit then.
    logs, units = np.log(p), np.minimum(gap / largest, 1.0)
    return _tilted(logs, units, _smallest(logs, units, most / largest)), True


@compiled
def _smallest(logs: Floats, gap: Floats, most: float) -> float:
    """Return the smallest t, to within float64, that brings the loss to at most `most`."""
    low, high = 0.0, 1.0
    for _ in range(1000):
        if _loss(_tilted(logs, gap, high), gap) <= most:
            break
        low, high = high, high * 2
    for _ in range(52):
        middle = (low + high) / 2
        if _loss(_tilted(logs, gap, middle), gap) <= most:
            high = middle
        else:
            low = middle
    return high


@compiled
def _tilted(logs: Floats, gap: Floats, t: float) -> Floats:
    # Relative to the largest: what tilting prefers may have had a probability at the end of float64.
    tilted = logs - t * gap
    q: Floats = np.exp(tilted - tilted.max())
    q /= q.sum()
    return q


@compiled
def _loss(q: Floats, gap: Floats) -> float:
    lost = 0.0
    for k in range(len(q)):
        lost += q[k] * gap[k]
    return lost
