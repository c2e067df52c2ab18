r"""Minimum exposure: at least a probability for an action or a group in the first slot.

The result r is the information projection (argmin KL(r || q), Csiszar 1975) of the slot's distribution q on

    r_k >= phi for all k,   sum of r over A \\ G <= cap,   sum of r over S_j >= p_j for each of the disjoint groups S_j.

With multipliers for the cap (t >= 0) and the groups, r_k = max(phi, m_j q_k exp(-t [k not in G])) with one m_j for each
group that is lifted and one for everybody else.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.exploration import fill
from bandit.exploration.plan import Floats, Marks

Groups = NDArray[np.intp]
"""Which group each action belongs to, shape (K,); -1 for none."""

_LARGEST_T = 512.0
"""exp of it is still far from the largest float64."""


@compiled
def expose(q: Floats, greedy: Marks, groups: Groups, least: Floats, phi: float, cap: float) -> Floats:
    """Return the projection; shapes (K,), (K,), (K,) and (J,).

    A group without an action is passed over. Where floor and exposures together need more than `cap`, they get it.
    Needs K phi plus the sum of `least` to be at most 1.
    """
    lifted = _lift(q, groups, least, phi)
    if _mass_off(lifted, greedy) <= cap:
        return lifted
    # The mass off G only falls with t: double t until it is under the cap, then halve to the last bit.
    low, high = 0.0, 1.0
    while high < _LARGEST_T and _mass_off(_lift(_tilted(q, greedy, high), groups, least, phi), greedy) > cap:
        low, high = high, 2 * high
    while low < (low + high) / 2 < high:
        middle = (low + high) / 2
        if _mass_off(_lift(_tilted(q, greedy, middle), groups, least, phi), greedy) > cap:
            low = middle
        else:
            high = middle
    return _lift(_tilted(q, greedy, high), groups, least, phi)


@compiled
def _lift(q: Floats, groups: Groups, least: Floats, phi: float) -> Floats:
    """Return the projection without a cap: lifting one group takes from all others, so none is ever let go again."""
    r = fill(q, phi, 1.0)
    rest, left, short = np.ones(len(q), dtype=np.bool_), 1.0, True
    while short:
        short = False
        for j in range(len(least)):
            members = (groups == j) & rest
            if r[members].sum() < least[j] and 0 < members.sum() < rest.sum():
                short = True
                r[members] = fill(q[members], phi, least[j])
                rest &= ~members
                left -= least[j]
        if short:
            r[rest] = fill(q[rest], phi, left)
    return r


@compiled
def _tilted(q: Floats, greedy: Marks, t: float) -> Floats:
    """Return q with its greedy part raised by exp(t): lowering the others instead would round them to 0."""
    raised = q.copy()
    for k in range(len(q)):
        if greedy[k]:
            raised[k] *= math.exp(t)
    return raised


@compiled
def _mass_off(q: Floats, greedy: Marks) -> float:
    total = 0.0
    for k in range(len(q)):
        if not greedy[k]:
            total += q[k]
    return total
