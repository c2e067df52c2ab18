"""How likely two actions stand in two slots together, and what the pseudo-inverse estimator makes of that.

Exact like the marginals: every state of a slate is asked once for its next distribution, and what follows from a state
is then a product of sparse matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from bandit.exploration.plan import Floats
from bandit.policies.base import Arms
from bandit.ranking.slate import Slate
from ope.slates.pseudo_inverse import pseudo_inverse_weight

MOST_PLACES = 128
"""Slots times actions up to which the matrix of pairs is inverted, which takes their cube: 6 ms for so many."""
_FULL = 1e-9

_State = tuple[frozenset[int], int]


def uniform_pi_weight(slate: Slate, count: int, served: Arms, most_states: int) -> float | None:
    """Return the pseudo-inverse's weight of a served slate where the target ranks the `count` actions uniformly.

    `served`, shape (L,), are its actions' indices. None where more than `most_states` states can occur, slots times
    actions are more than MOST_PLACES, or a slot may stay empty.
    """
    slots = len(served)
    if slots * count > MOST_PLACES:
        return None
    pairs = joint_marginals(slate, count, slots, most_states)
    if pairs is None or np.einsum("lala", pairs) < slots - _FULL:
        return None
    return pseudo_inverse_weight(pairs, np.full((slots, count), 1 / count), served)


def joint_marginals(slate: Slate, count: int, slots: int, most_states: int) -> Floats | None:
    """Return how likely action a stands in slot l and b in m, shape (slots, count, slots, count).

    On the diagonal stand the marginals. None where more than `most_states` states can occur.
    """
    levels = _levels(slate, count, slots, most_states)
    if levels is None:
        return None
    pairs = np.zeros((slots, count, slots, count))
    reached = np.ones(1)
    for slot, level in enumerate(levels):
        chosen = reached[level.state] * level.q
        np.fill_diagonal(pairs[slot, :, slot], np.bincount(level.arm, chosen, minlength=count))
        marked: Any = sparse.csr_array((chosen, (level.after, level.arm)), shape=(level.following, count))
        for later in range(slot + 1, slots):
            together = (levels[later].choice @ marked).toarray()
            pairs[later, :, slot], pairs[slot, :, later] = together, together.T
            marked = levels[later].step @ marked
        reached = level.step @ reached
    return pairs


@dataclass(frozen=True, slots=True)
class _Level:
    """What may happen in one slot: from state `state` action `arm` with probability `q`, and then state `after`.

    States are numbered within their slot, `states` of them here and `following` in the next. `choice` (actions, states)
    and `step` (following, states) are the same as matrices.
    """

    state: Arms
    arm: Arms
    q: Floats
    after: Arms
    following: int
    choice: Any
    step: Any


def _levels(slate: Slate, count: int, slots: int, most_states: int) -> list[_Level] | None:
    states: dict[_State, int] = {(frozenset(), 0): 0}
    levels, seen = [], 0
    for _ in range(slots):
        seen += len(states)
        if seen > most_states:
            return None
        after: dict[_State, int] = {}
        edges = [
            (i, arm, q, after.setdefault(state, len(after)))
            for placed, i in states.items()
            for arm, q, state in _following(slate, placed)
        ]
        levels.append(_level(edges, count, len(states), len(after)))
        states = after
    return levels


def _level(edges: Sequence[tuple[int, int, float, int]], count: int, states: int, following: int) -> _Level:
    state, arm, after = (np.array([edge[i] for edge in edges], dtype=np.intp) for i in (0, 1, 3))
    q = np.array([edge[2] for edge in edges])
    choice = sparse.csr_array((q, (arm, state)), shape=(count, states))
    step = sparse.csr_array((q, (after, state)), shape=(following, states))
    return _Level(state, arm, q, after, following, choice, step)


def _following(slate: Slate, state: _State) -> list[tuple[int, float, _State]]:
    """Return who may stand next, with which probability, and the state after that; none where the slate ends."""
    placed, explored = state
    step = slate.step(sorted(placed), explored)
    if step is None:
        return []
    told = zip(step.among.tolist(), step.plan.q.tolist(), step.plan.greedy.tolist(), strict=True)
    counting = slate.counts_explored
    return [(arm, q, (placed | {arm}, explored + (counting and not greedy))) for arm, q, greedy in told if q > 0]
