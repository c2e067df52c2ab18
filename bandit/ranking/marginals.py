"""How likely each action is to stand in each slot: a ranking's marginals, summed over all that may stand above.

Exact: the states of a slate (which actions are placed, how many of them explored) are visited slot by slot with their
probabilities, and each asks the slate for its next distribution, by the same code that served.
"""

from collections import defaultdict

import numpy as np

from bandit.exploration.plan import Floats
from bandit.ranking.slate import Slate
from bandit.ranking.steps import Step

MOST_STATES = 10_000
"""States that are visited at most; a ranking of 5 of 10 actions has 386, one of 3 of 100 has 5,051."""

_State = tuple[frozenset[int], int]


def marginals(slate: Slate, count: int, slots: int, most_states: int = MOST_STATES) -> Floats | None:
    """Return the probability of each of `count` actions in each slot, shape (slots, count), or None if it is too much.

    Rows sum to the probability that the slot is filled. None when more than `most_states` states can occur.
    """
    filled = np.zeros((slots, count))
    states: dict[_State, float] = {(frozenset(), 0): 1.0}
    visited = 0
    for slot in range(slots):
        visited += len(states)
        if visited > most_states:
            return None
        after: dict[_State, float] = defaultdict(float)
        for state, probability in states.items():
            step = slate.step(sorted(state[0]), state[1])
            if step is not None:
                filled[slot, step.among] += probability * step.plan.q
                if slot + 1 < slots:
                    _spread(state, probability, step, after, counting=slate.counts_explored)
            if len(after) > most_states:
                return None
        states = after
    return filled


def _spread(state: _State, probability: float, step: Step, after: dict[_State, float], *, counting: bool) -> None:
    placed, explored = state
    for arm, q, greedy in zip(step.among.tolist(), step.plan.q.tolist(), step.plan.greedy.tolist(), strict=True):
        if q > 0:
            after[placed | {arm}, explored + (counting and not greedy)] += probability * q
