"""Feature names to the columns of a dense vector; grows as a fold over what was learned, up to a bound."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.policies.crossing import Crossed, product_names
from bandit.policies.situation import Situation

INTERCEPT = ""
_MOST_SHAPES = 256
"""Sets of feature names whose columns are remembered; a loop's actions have a few."""


class Columns:
    """A vocabulary of feature names; column 0 is the intercept.

    A name becomes a column when it is first learned from, so a decision and its replay see the same columns, and what
    was learned has the same numbers for good. A name without a column counts as 0. After `limit` columns no name is
    added.
    """

    __slots__ = ("_crossed", "_limit", "_places", "index")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.index = {INTERCEPT: 0}
        self._places: dict[tuple[str, ...], NDArray[np.intp]] = {}
        self._crossed: dict[tuple[tuple[str, ...], tuple[str, ...]], NDArray[np.intp]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def restore(self, names: Iterable[str]) -> None:
        """Take these names, in their order, for all that was known."""
        self.index = {name: column for column, name in enumerate(names)}
        self._forget_places()

    def add(self, *features: Mapping[str, float]) -> None:
        """Give each new name a column, as long as the limit allows."""
        for mapping in features:
            for name in mapping:
                if name not in self.index and len(self.index) < self._limit:
                    self.index[name] = len(self.index)
                    self._forget_places()

    def matrix(self, situation: Situation) -> NDArray[np.float64]:
        """Return one dense row per eligible action, shape (K, d); a name in context and action adds up."""
        shared, table = self._row(situation.context), situation.table()
        if table:
            names, values = table
            return _table_rows(shared, values, *self._known(names))
        return np.array([shared + self._row(features, intercept=0.0) for features in situation.actions()])

    def vector(self, shared: Mapping[str, float], own: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the dense vector of a context and one action, shape (d,)."""
        return self._row(shared) + self._row(own, intercept=0.0)

    def crossed(self, situation: Crossed) -> NDArray[np.intp]:
        """Return what adds up to the situation's vectors, shape (3, terms): factor, factor and column of each term.

        The first factor is the place of an own feature, the second that of a feature of the context, both from 1 on;
        0 is a factor of 1. A term whose name has no column is left out.
        """
        names = situation.own[0], situation.names
        found = self._crossed.get(names)
        if found is None:
            if len(self._crossed) >= _MOST_SHAPES:
                self._crossed.clear()
            terms = [(0, 0, 0), *((i, j, self.index.get(name, -1)) for name, i, j in product_names(*names))]
            known = [term for term in terms if term[2] >= 0]
            found = self._crossed[names] = np.array(known, dtype=np.intp).T.copy()
        return found

    def _forget_places(self) -> None:
        self._places.clear()
        self._crossed.clear()

    def _known(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        """Return which of the names have columns, and these columns; shape (2, known)."""
        found = self._places.get(names)
        if found is None:
            if len(self._places) >= _MOST_SHAPES:
                self._places.clear()
            known = [(place, self.index[name]) for place, name in enumerate(names) if name in self.index]
            found = self._places[names] = np.array(known, dtype=np.intp).reshape(-1, 2).T.copy()
        return found

    def _row(self, features: Mapping[str, float], intercept: float = 1.0) -> NDArray[np.float64]:
        row = [0.0] * len(self.index)
        row[0] = intercept
        for name, value in features.items():
            column = self.index.get(name)
            if column is not None:
                row[column] += value
        return np.array(row)


@compiled
def _table_rows(
    shared: NDArray[np.float64], values: NDArray[np.float64], places: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    x = np.empty((len(values), len(shared)))
    for k in range(len(values)):
        x[k] = shared
        for i in range(len(places)):
            x[k, columns[i]] += values[k, places[i]]
    return x
