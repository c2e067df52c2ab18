"""Folds a log's rows in their order into `Replay`; reads nothing but weights and rewards."""

from collections.abc import Sequence

from ope.estimators.replay import Replay
from ope.frames import Rows
from ope.ordered import in_order, weighed_rewards
from ope.weights import RAW, REWARD


def replayed(logs: Sequence[Rows], *, most: float) -> Replay:
    """Return the fold over the sources, one after the other; raises InvalidRequest for an engine without an order."""
    state = Replay(most)
    for part in in_order(logs, weighed_rewards(), what="replay"):
        state = state.fold(part.column(RAW), part.column(REWARD))
    return state
