"""The kill switch: what it serves has probability 1, and the floor is waived."""

import msgspec
import numpy as np

from bandit.exploration.plan import Floats, Marks, Plan


def only_greedy(plan: Plan) -> Plan:
    """Serve a greedy action; ties evenly."""
    return _forced(plan, plan.greedy / plan.greedy.sum(), plan.greedy, "mode greedy")


def only_baseline(plan: Plan) -> Plan:
    """Serve the caller's first eligible choice, which is then what exploration is measured from."""
    chosen = np.arange(len(plan.q)) == plan.baseline
    return _forced(plan, chosen.astype(float), chosen, "mode baseline")


def _forced(plan: Plan, q: Floats, greedy: Marks, reason: str) -> Plan:
    return msgspec.structs.replace(plan, q=q, greedy=greedy, reason=reason, trace=(*plan.trace, reason))
