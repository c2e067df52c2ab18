"""Features as Vowpal Wabbit holds them: an index and a float32 each, without zeros; knows nothing else of VW."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled

Indices: TypeAlias = NDArray[np.uint64]
Values: TypeAlias = NDArray[np.float32]
Row: TypeAlias = tuple[Any, Any]
"""The `Indices` and `Values` of one example's features, shapes (n,); VW's stubs misspell the types of both."""

LARGEST_FEATURE = 1e12
"""Larger features are clipped: the product of three must fit a float32, as one infinity poisons a model for good."""


def rows(first: Indices, names: Indices, values: NDArray[np.float64]) -> list[Row]:
    """Return K examples' features: `first`, shape (K,), with value 1, then `names`, shape (F,), with `values` (K, F).

    Values are clipped to `LARGEST_FEATURE`. A value that is 0 in float32 is left out, as in VW's own text format.
    """
    indices, numbers, counts = _pack(first, names, values)
    return [(indices[k, :count], numbers[k, :count]) for k, count in enumerate(counts.tolist())]


@compiled
def _pack(first: Indices, names: Indices, values: NDArray[np.float64]) -> tuple[Indices, Values, NDArray[np.int64]]:
    rows, columns = values.shape
    indices = np.empty((rows, columns + 1), np.uint64)
    numbers = np.empty((rows, columns + 1), np.float32)
    counts = np.ones(rows, np.int64)
    for k in range(rows):
        indices[k, 0], numbers[k, 0] = first[k], 1.0
        for j in range(columns):
            value = np.float32(min(max(values[k, j], -LARGEST_FEATURE), LARGEST_FEATURE))
            if value != 0.0:
                indices[k, counts[k]], numbers[k, counts[k]] = names[j], value
                counts[k] += 1
    return indices, numbers, counts
