"""Folds a log's rows in their order into `Replay`; reads nothing but weights and rewards."""

from collections.abc import Iterator, Sequence

import narwhals as nw

from ope.engine import in_memory
from ope.errors import InvalidRequest
from ope.estimators.replay import Floats, Replay
from ope.frames import Rows
from ope.raw_weights import raw_weight
from ope.weights import RAW, REWARD


def replayed(logs: Sequence[Rows], *, most: float) -> Replay:
    """Return the fold over the sources, one after the other; raises InvalidRequest for an engine without an order.

    16 bytes of memory for each row of the largest source.
    """
    state = Replay(most)
    for weights, rewards in _parts(logs):
        state = state.fold(weights, rewards)
    return state


def _parts(logs: Sequence[Rows]) -> Iterator[tuple[Floats, Floats]]:
    for rows in logs:
        if not (isinstance(rows.frame, nw.DataFrame) or rows.frame.implementation.is_polars()):
            raise InvalidRequest(
                f"{rows.source.name}: replay goes through the rows in their order, and {rows.frame.implementation} "
                "keeps none. Give a file, or a frame of polars, pandas or pyarrow."
            )
        weight = raw_weight(RAW)
        assert weight is not None  # noqa: S101 - of RAW there is one
        found = in_memory(rows.frame.select(weight.alias(RAW), nw.col(REWARD)))
        yield found[RAW].to_numpy(), found[REWARD].to_numpy()
