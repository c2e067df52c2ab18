"""The bootstrap for any function of sums, in one pass and at any length: blocks of rows are drawn, not rows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCKS = 4093
"""A prime, so that a period in the log does not fall together with the blocks."""
RESAMPLES = 2000
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """Per block of rows: how many there are, sums of k columns, and sums of their products.

    `counts` has shape (blocks,), `sums` (blocks, k), `products` (blocks, k, k). Row i of the log is in block i modulo
    BLOCKS. Up to so many rows each is a block of its own, and drawing blocks is the bootstrap of Efron (1979). Beyond,
    it is the bootstrap of groups of rows: independent rows give groups whose totals have their variance and skewness,
    the variance known to √(2/BLOCKS) = 2%, and the cost of resampling does not grow with the log.
    """

    counts: Floats
    sums: Floats
    products: Floats

    @staticmethod
    def empty(columns: int) -> "BlockSums":
        """Return the state before any row."""
        return BlockSums(np.zeros(BLOCKS), np.zeros((BLOCKS, columns)), np.zeros((BLOCKS, columns, columns)))

    @property
    def n(self) -> int:
        """The rows so far."""
        return int(self.counts.sum())

    def fold(self, rows: Floats) -> "BlockSums":
        """Return the state after more rows, shape (m, k)."""
        block = (self.n + np.arange(len(rows))) % BLOCKS
        counts = self.counts + np.bincount(block, minlength=BLOCKS)
        sums, products = self.sums.copy(), self.products.copy()
        for i in range(rows.shape[1]):
            sums[:, i] += np.bincount(block, rows[:, i], minlength=BLOCKS)
            for j in range(i + 1):
                products[:, i, j] += np.bincount(block, rows[:, i] * rows[:, j], minlength=BLOCKS)
                products[:, j, i] = products[:, i, j]
        return BlockSums(counts, sums, products)

    def resampled(self, resamples: int, *, seed: int) -> Iterator["BlockSums"]:
        """Yield totals of resamples, some hundred at a time, each in the place of a block."""
        there = np.flatnonzero(self.counts)
        k = self.sums.shape[1]
        table = np.concatenate((self.counts[:, None], self.sums, self.products.reshape(BLOCKS, k * k)), axis=1)[there]
        rng = np.random.default_rng(seed)
        for i in range(0, resamples, _AT_ONCE):
            many = min(_AT_ONCE, resamples - i)
            drawn = rng.integers(len(there), size=(many, len(there))) + len(there) * np.arange(many)[:, None]
            times = np.bincount(drawn.ravel(), minlength=many * len(there)).reshape(many, len(there))
            totals = times @ table
            yield BlockSums(totals[:, 0], totals[:, 1 : k + 1], totals[:, k + 1 :].reshape(many, k, k))

    def means(self) -> Floats:
        """Return the means of the columns in each place, shape (blocks, k)."""
        found: Floats = self.sums / self.counts[:, None]
        return found

    def scatters(self) -> Floats:
        """Return the centred sums of products in each place, shape (blocks, k, k)."""
        means = self.means()
        found: Floats = self.products - self.counts[:, None, None] * means[:, :, None] * means[:, None, :]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Studentised:
    """The bootstrap of the t statistic: how many standard errors resamples are from the value, shape (resamples,).

    An estimate's distance from the truth, in its own standard errors, is distributed like a resample's distance from
    the estimate, in the resample's (Efron 1982; Hall 1988: the error in coverage is of order 1/n, that of percentiles
    1/√n). What heavy weights do to both estimate and error at once is thereby in the interval.
    """

    value: float
    stderr: float
    distances: Floats

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def of(value: float, stderr: float, values: Floats, stderrs: Floats) -> "Studentised":
        """Return the statistic from the resamples' values and standard errors."""
        distances = (values - value) / stderrs  # infinite where a resample shows no spread
        return Studentised(value, stderr, np.sort(np.where(np.isnan(distances), 0.0, distances)))

    def lower(self, alpha: float) -> float:
        """Return the lower bound; minus infinity where resamples are too few, or too often without any spread."""
        rank = math.ceil((len(self.distances) + 1) * (1 - alpha))
        return self._at(self.distances[rank - 1]) if rank <= len(self.distances) else -math.inf

    def upper(self, alpha: float) -> float:
        """Return the upper bound; infinite likewise."""
        rank = math.floor((len(self.distances) + 1) * alpha)
        return self._at(self.distances[rank - 1]) if rank >= 1 else math.inf

    def _at(self, distance: float) -> float:
        return self.value - float(distance) * self.stderr if self.stderr else self.value
