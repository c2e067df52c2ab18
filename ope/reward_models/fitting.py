"""Fits one model on pairs and their rewards, and predicts others; what a name's column is belongs to the fit."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from ope.reward_models.kinds import expected, fresh, takes_sparse
from ope.reward_models.pairs import Hashes, Pairs

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_SPARSE, MOST_DENSE = 2**16, 256
"""The most features that a model has columns for, those that occur in most rows: in a sparse and a dense matrix."""


@contextmanager
def quiet() -> Iterator[None]:
    """Hold the numerical libraries to one thread, and to themselves what they say of convergence."""
    # Threads wait for each other in busy loops: where cores are shared, trees took 50 times as long.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # A model that stopped early is a worse model, and DR is right with any.
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Which hashed names have a column, shape (k,), sorted; others are as if they were 0."""

    names: Hashes
    sparse: bool

    @staticmethod
    def of(pairs: Pairs, *, sparse: bool) -> "Columns":
        """Return the columns of what the pairs have."""
        names, counts = np.unique(pairs.names, return_counts=True)
        most = MOST_SPARSE if sparse else MOST_DENSE
        if len(names) > most:
            names = np.sort(names[np.argsort(-counts, kind="stable")[:most]])
        return Columns(names, sparse)

    def matrix(self, pairs: Pairs) -> Any:  # noqa: ANN401 - a matrix of scipy or of numpy
        """Return the pairs as the rows of a matrix, shape (m, k)."""
        place = np.searchsorted(self.names, pairs.names)
        place[place == len(self.names)] = 0
        known = self.names[place] == pairs.names
        row = np.repeat(np.arange(len(pairs)), pairs.lengths)[known]
        found = csr_matrix((pairs.values[known], (row, place[known])), shape=(len(pairs), len(self.names)))
        return found if self.sparse else found.toarray()


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model, or, where there was nothing to tell rows apart by, the mean reward."""

    columns: Columns
    model: Any
    mean: float

    def predict(self, pairs: Pairs) -> Floats:
        """Return the predicted reward of each pair, shape (m,)."""
        if self.model is None or not len(pairs):
            return np.full(len(pairs), self.mean)
        with quiet():
            return expected(self.model, self.columns.matrix(pairs))


def fitted(kind: Any, pairs: Pairs, rewards: Floats, *, seed: int) -> Fitted:  # noqa: ANN401
    """Return a model of the kind, fitted on at least one pair and its reward."""
    columns = Columns.of(pairs, sparse=takes_sparse(kind))
    model = fresh(kind, rewards, seed=seed)  # first, because it may refuse the rewards
    mean = float(rewards.mean())
    if not len(columns.names) or np.ptp(rewards) == 0:
        return Fitted(columns, None, mean)
    with quiet():
        model.fit(columns.matrix(pairs), rewards)
    return Fitted(columns, model, mean)
