"""Feature names to the columns of a dense vector; grows as a fold over what was learned, up to a bound."""

from collections.abc import Iterable, Mapping

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

    def vector(self, *features: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the dense vector of the features, shape (d,); a name in several mappings adds up."""
        x = [0.0] * len(self.index)
        x[0] = 1.0
        get = self.index.get
        for mapping in features:
            for name, value in mapping.items():
                column = get(name)
                if column is not None:
                    x[column] += value
        return np.array(x)
