"""Feature names to the columns of a dense vector; grows as a fold over what was learned, up to a bound."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

INTERCEPT = ""


class Columns:
    """A vocabulary of feature names; column 0 is the intercept.

    A name becomes a column when it is first learned from, so a decision and its replay see the same columns. A name
    without a column counts as 0. After `limit` columns no name is added.
    """

    __slots__ = ("_limit", "index")

    def __init__(self, limit: int, names: Iterable[str] = (INTERCEPT,)) -> None:
        self._limit = limit
        self.index = {name: column for column, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.index)

    def add(self, *features: Mapping[str, float]) -> None:
        """Give each new name a column, as long as the limit allows."""
        for mapping in features:
            for name in mapping:
                if name not in self.index and len(self.index) < self._limit:
                    self.index[name] = len(self.index)

    def matrix(self, shared: Mapping[str, float], own: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Return one dense row per entry of `own`, shape (K, d); a name in `shared` too adds up."""
        base = [0.0] * len(self.index)
        base[0] = 1.0
        self._add(base, shared)
        rows = []
        for features in own:
            rows.append(row := base.copy())
            self._add(row, features)
        return np.array(rows)

    def vector(self, shared: Mapping[str, float], own: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the dense vector of the features, shape (d,)."""
        return np.asarray(self.matrix(shared, [own])[0])

    def _add(self, row: list[float], features: Mapping[str, float]) -> None:
        column_of = self.index.get
        for name, value in features.items():
            column = column_of(name)
            if column is not None:
                row[column] += value
