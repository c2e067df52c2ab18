"""A sample of bounded size of all rows that pass by, chosen by the hash of their ids: those with the smallest ranks.

Which rows are in it depends on the rows alone, not on their order nor on how they are cut into batches.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ope.reward_models.pairs import Named, Pairs, joined

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_ENTRIES = 20_000_000
"""Features of all sampled rows together, of 16 bytes each: rows with very many features are fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row to learn from: the features of the action that was played, and what it earned."""

    fold: int
    features: Named
    reward: float


@dataclass(slots=True, eq=False)
class Sample:
    """The rows with the smallest ranks of all that were offered, `most` at most."""

    most: int
    most_entries: int = MOST_ENTRIES
    _heap: list[tuple[int, int, Row]] = field(default_factory=list)
    _offered: int = 0
    _entries: int = 0
    ceiling: int = 2**64
    """Ranks from here on are not taken any more."""

    def offer(self, rank: int, row: Row) -> None:
        """Take the row, or another out."""
        self._offered += 1
        if rank >= self.ceiling:
            return
        # Ranks are negative because heaps keep the smallest on top; of one id's copies the later goes first.
        heapq.heappush(self._heap, (-rank, -self._offered, row))
        self._entries += len(row.features.names)
        while len(self._heap) > self.most or self._entries > self.most_entries:
            negative, _, out = heapq.heappop(self._heap)
            self._entries -= len(out.features.names)
            self.ceiling = -negative

    def __len__(self) -> int:
        return len(self._heap)

    def rows(self, *, most: int, among: Callable[[Row], bool]) -> tuple[Pairs, Floats]:
        """Return the features and rewards of the first rows by rank among some."""
        found = [row for *_, row in sorted(self._heap, key=lambda one: (-one[0], -one[1])) if among(row)][:most]
        return joined(row.features for row in found), np.array([row.reward for row in found])

    def folds(self) -> set[int]:
        """Return the folds that have a row."""
        return {row.fold for *_, row in self._heap}
