"""The bootstrap over blocks against the textbook one, and what it does at the edges."""

import math

import numpy as np
import pytest

from ope.intervals import bootstrap
from ope.intervals.bootstrap import BlockSums, Studentised


def rows(seed, n):
    """Columns w and w r of a log with skewed weights."""
    rng = np.random.default_rng(seed)
    w = rng.exponential(1.0, n)
    return np.stack([w, w * (rng.random(n) < 0.3)], axis=1)


def ratios(state):
    """SNIPS and its delta-method error in each place."""
    means, scatters = state.means(), state.scatters()
    value = means[:, 1] / means[:, 0]
    square = scatters + state.counts[:, None, None] * means[:, :, None] * means[:, None, :]
    error = square[:, 1, 1] - 2 * value * square[:, 0, 1] + value**2 * square[:, 0, 0]
    return value, np.sqrt(np.maximum(error, 0)) / (state.counts * means[:, 0])


def whole(state):
    """The state's totals in one place."""
    return BlockSums(state.counts.sum(keepdims=True), state.sums.sum(0)[None], state.products.sum(0)[None])


def bootstrapped(state, *, seed=0, resamples=2000):
    """The studentised bootstrap of SNIPS."""
    (value,), (stderr,) = ratios(whole(state))
    found = [ratios(part) for part in state.resampled(resamples, seed=seed)]
    values, stderrs = (np.concatenate(one) for one in zip(*found, strict=True))
    return Studentised.of(value, stderr, values, stderrs)


def test_few_rows_are_each_a_block() -> None:
    """Then resampled totals are those of rows drawn with replacement, here by the same draws."""
    table = rows(1, 50)
    (part,) = BlockSums.empty(2).fold(table).resampled(100, seed=3)
    drawn = np.random.default_rng(3).integers(50, size=(100, 50))
    assert part.counts.tolist() == [50.0] * 100
    assert part.sums == pytest.approx(table[drawn].sum(axis=1))
    assert part.products[:, 0, 1] == pytest.approx((table[drawn, 0] * table[drawn, 1]).sum(axis=1))


def test_the_statistic_is_the_textbooks() -> None:
    """By hand: value 2, error 1; resamples at 3 and 1 with errors 0.5 and 2 are 2 and -0.5 errors away."""
    found = Studentised.of(2.0, 1.0, np.array([3.0, 1.0]), np.array([0.5, 2.0]))
    assert found.distances.tolist() == [-0.5, 2.0]
    assert found.lower(1 / 3) == 2 - 2.0
    assert found.upper(1 / 3) == 2 + 0.5


def test_blocks_agree_with_rows() -> None:
    """Over 20,000 rows the bounds are those of drawing rows, to their Monte Carlo error (false alarm below 1e-3)."""
    table = rows(2, 20_000)
    ours = bootstrapped(BlockSums.empty(2).fold(table))
    rng = np.random.default_rng(5)
    value = table[:, 1].sum() / table[:, 0].sum()
    distances = []
    for _ in range(1000):
        w, y = table[rng.integers(len(table), size=len(table))].T
        v = y.sum() / w.sum()
        distances.append((v - value) / (np.sqrt(((y - v * w) ** 2).sum()) / w.sum()))
    plain = Studentised(value, ours.stderr, np.sort(distances))
    # A quantile's Monte Carlo error is 0.08 standard errors with ours, and 0.03 come from the blocks.
    for alpha in (0.05, 0.2):
        assert abs(ours.lower(alpha) - plain.lower(alpha)) < 0.4 * ours.stderr
        assert abs(ours.upper(alpha) - plain.upper(alpha)) < 0.4 * ours.stderr


def test_cutting_changes_nothing() -> None:
    """The blocks of a log that came in chunks are those of one pass, to rounding."""
    table = rows(3, 10_000)
    cut = BlockSums.empty(2).fold(table[:3333]).fold(table[3333:])
    one = BlockSums.empty(2).fold(table)
    assert cut.counts.tolist() == one.counts.tolist()
    assert cut.products == pytest.approx(one.products, rel=1e-12)


def test_the_seed_decides() -> None:
    """The same seed gives the same bounds to the bit, another one others."""
    state = BlockSums.empty(2).fold(rows(4, 300))
    bounds = [bootstrapped(state, seed=seed).lower(0.05) for seed in (1, 1, 2)]
    assert bounds[0] == bounds[1] != bounds[2]


def test_bounds_are_nested_and_around_the_value() -> None:
    """More certainty is a wider interval, with the value in it."""
    found = bootstrapped(BlockSums.empty(2).fold(rows(5, 200)))
    lows = [found.lower(alpha) for alpha in (0.005, 0.05, 0.3)]
    highs = [found.upper(alpha) for alpha in (0.005, 0.05, 0.3)]
    assert lows == sorted(lows)
    assert highs == sorted(highs, reverse=True)
    assert lows[-1] < found.value < highs[-1]


def test_what_cannot_be_known_is_infinite() -> None:
    """Too few resamples for a level, or none with any spread, bound nothing; no spread at all is the value itself."""
    few = Studentised.of(1.0, 1.0, np.array([0.9, 1.1]), np.array([1.0, 1.0]))
    assert (few.lower(0.01), few.upper(0.01)) == (-math.inf, math.inf)
    rare = Studentised.of(0.01, 0.01, np.zeros(99), np.zeros(99))
    assert rare.upper(0.05) == math.inf
    flat = Studentised.of(1.0, 0.0, np.ones(99), np.zeros(99))
    assert (flat.lower(0.05), flat.upper(0.05)) == (1.0, 1.0)


def test_resamples_come_a_few_hundred_at_a_time() -> None:
    """Memory is bounded, and every resample that was asked for comes."""
    parts = list(BlockSums.empty(2).fold(rows(6, 60)).resampled(600, seed=1))
    assert [len(part.counts) for part in parts] == [256, 256, 88]
    assert bootstrap.BLOCKS == 4093
