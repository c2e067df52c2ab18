"""Thompson Sampling's probabilities: by hand, as properties, against quadrature and against draws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from bandit.policies.winning import gaussian

BOUND = 1e-7
"""What `gaussian` promises."""


def reference(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The defining integral by an adaptive rule, split wherever a density has its mass."""

    def integrand(x: float, k: int) -> float:
        z = (x - mean) / deviation
        return np.exp(-(z[k] ** 2) / 2) / (deviation[k] * np.sqrt(2 * np.pi)) * np.delete(ndtr(z), k).prod()

    edges = np.unique(np.concatenate([mean + z * deviation for z in (-9, -6, -3, -1, 0, 1, 3, 6, 9)]))
    spans = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    return np.array(
        [sum(quad(integrand, a, b, args=(k,), epsabs=1e-12)[0] for a, b in spans) for k in range(len(mean))]
    )


def test_two_by_hand() -> None:
    """P(a > b) = Phi((1 - 0) / sqrt(3^2 + 4^2)) = Phi(0.2)."""
    assert_allclose(gaussian(np.array([1.0, 0.0]), np.array([3.0, 4.0])), norm.cdf([0.2, -0.2]), atol=BOUND)


def test_alike_share_evenly() -> None:
    """Equal posteriors win equally often, also where they are points."""
    assert_allclose(gaussian(np.full(7, 0.3), np.full(7, 2.0)), np.full(7, 1 / 7), atol=1e-15)
    assert_allclose(gaussian(np.array([1.0, 1.0, 0.0]), np.zeros(3)), [0.5, 0.5, 0])
    assert_allclose(gaussian(np.zeros(3), np.zeros(3)), np.full(3, 1 / 3))


def test_point_against_a_wide_one() -> None:
    """A certain 0 against N(1, 2^2): the other wins with Phi(1/2)."""
    assert_allclose(gaussian(np.array([0.0, 1.0]), np.array([0.0, 2.0])), norm.cdf([-0.5, 0.5]), atol=BOUND)


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_adaptive_quadrature(seed: int) -> None:
    """2 to 8 actions whose deviations differ by up to a factor of a thousand: within 1e-7."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    mean = rng.normal(size=size) * rng.choice([0.1, 1, 5])
    deviation = np.exp(rng.normal(size=size) * rng.choice([0, 0.5, 2]))
    assert_allclose(gaussian(mean, deviation), reference(mean, deviation), atol=BOUND)


@pytest.mark.parametrize("size", [2, 10, 100])
def test_agrees_with_draws(size: int) -> None:
    """The winners of 100,000 draws: chi-squared below its 1 - 1e-6 quantile, over actions expected 20 times or more."""
    rng = np.random.default_rng(size)
    mean, deviation = rng.normal(size=size), np.exp(rng.normal(size=size) / 2)
    p = gaussian(mean, deviation)
    n = 100_000
    wins = sum(
        np.bincount((mean + deviation * rng.normal(size=(n // 10, size))).argmax(axis=1), minlength=size)
        for _ in range(10)
    )
    often = p * n >= 20
    seen, expected = np.append(wins[often], wins[~often].sum()), np.append(p[often], p[~often].sum()) * n
    kept = expected > 0
    statistic = ((seen - expected)[kept] ** 2 / expected[kept]).sum()
    # Wilson and Hilferty 1931: the cube root of a chi-squared over its degrees of freedom is nearly normal.
    degrees = kept.sum() - 1
    assert statistic < degrees * (1 - 2 / (9 * degrees) + 4.75 * np.sqrt(2 / (9 * degrees))) ** 3


numbers = st.floats(-1e6, 1e6)
arms = st.lists(st.tuples(numbers, st.sampled_from([0.0, 1e-12, 1.0]) | st.floats(0, 1e6)), min_size=1, max_size=12)


@given(arms, st.randoms(use_true_random=False))
def test_is_a_distribution_and_knows_no_places(pairs: list[tuple[float, float]], random) -> None:
    """Whatever the posteriors: no probability is negative or above 1, they sum to 1, and they go with their action."""
    mean, deviation = np.array(pairs).T.copy()
    p = gaussian(mean, deviation)
    assert p.min() >= 0
    assert abs(p.sum() - 1) < 1e-12
    order = np.array(random.sample(range(len(pairs)), len(pairs)))
    assert_allclose(gaussian(mean[order], deviation[order]), p[order], atol=BOUND)


@given(arms)
def test_a_higher_mean_is_likelier(pairs: list[tuple[float, float]]) -> None:
    """Of two actions with one deviation, the one with the higher mean has no lower probability."""
    mean, _ = np.array(pairs).T.copy()
    p = gaussian(mean, np.full(len(mean), 2.0))
    assert (np.diff(p[mean.argsort()]) >= -BOUND).all()
