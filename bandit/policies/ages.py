"""How much of an outcome is left under forgetting: what a late correction of it has to be scaled by.

An outcome's weight is the product of the decays of the outcomes that the same row learned after it. So each row keeps
the steps at which it learned, as far back as any weight is not lost to rounding.
"""

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOTHING = 2.0**-60
"""A weight below this changes no float64 that it is added to."""
_MOST = 1_000_000
"""Steps that a row keeps at most: with a decay above 0.99996, corrections of older outcomes are left out."""


class Ages:
    """The steps at which each row learned, oldest first; nothing is kept where nothing is forgotten."""

    __slots__ = ("_decays", "_keep", "_steps")

    def __init__(self, decays: NDArray[np.float64]) -> None:
        self._decays = decays
        slowest = max((float(decay) for decay in decays if decay < 1), default=0.0)
        self._keep = min(_MOST, math.ceil(math.log(_NOTHING) / math.log(slowest))) if slowest else 0
        self._steps: dict[int, array[int]] = {}

    def add(self, row: int, step: int) -> None:
        """Note that the row learns at that step, which is none before its newest."""
        if not self._keep:
            return
        steps = self._steps.setdefault(row, array("q"))
        steps.append(step)
        if len(steps) >= 2 * self._keep:
            del steps[: -self._keep]

    def weights(self, row: int, step: int) -> NDArray[np.float64]:
        """Return what the row has left of the outcome that it learned at that step, one weight per decay."""
        steps = self._steps.get(row, array("q"))
        return np.asarray(self._decays ** float(len(steps) - bisect_right(steps, step)))

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take on what `arrays` returned."""
        steps, self._steps, start = arrays["ages.steps"].tolist(), {}, 0
        for row, length in zip(arrays["ages.rows"].tolist(), arrays["ages.lengths"].tolist(), strict=True):
            self._steps[row] = array("q", steps[start : start + length])
            start += length

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the rows, how many steps each has, and the steps."""
        kept = [np.frombuffer(steps, np.int64) for steps in self._steps.values()]
        return {
            "ages.rows": np.array(list(self._steps), dtype=np.int64),
            "ages.lengths": np.array([len(steps) for steps in kept], dtype=np.int64),
            "ages.steps": np.concatenate([np.empty(0, np.int64), *kept]),
        }
