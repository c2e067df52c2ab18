"""A log's weights and rewards in decision order, for what is a fold over them."""

from collections.abc import Iterator, Sequence

import narwhals as nw
import numpy as np
import numpy.typing as npt

from ope.engine import in_memory
from ope.errors import InvalidRequest
from ope.frames import Rows
from ope.raw_weights import raw_weight
from ope.weights import RAW, REWARD

Floats = npt.NDArray[np.float64]


def in_order(logs: Sequence[Rows], *, what: str) -> Iterator[tuple[Rows, Floats, Floats]]:
    """Yield each source with its weights and rewards, row by row as they stand there; 16 bytes of memory for each.

    `what` asks for it, and is named where an engine keeps no order: that raises InvalidRequest.
    """
    for rows in logs:
        if not (isinstance(rows.frame, nw.DataFrame) or rows.frame.implementation.is_polars()):
            raise InvalidRequest(
                f"{rows.source.name}: {what} goes through the rows in their order, and {rows.frame.implementation} "
                "keeps none. Give a file, or a frame of polars, pandas or pyarrow."
            )
        weight = raw_weight(RAW)
        assert weight is not None  # noqa: S101 - of RAW there is one
        found = in_memory(rows.frame.select(weight.alias(RAW), nw.col(REWARD)))
        yield rows, found[RAW].to_numpy(), found[REWARD].to_numpy()
