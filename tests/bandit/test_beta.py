"""Beta-Bernoulli Thompson Sampling: its probabilities by closed form, quadrature and draws, and its counts by hand."""

import itertools
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import betainc, betaln
from scipy.stats import norm

from bandit.policies.beta import Betas, BetaTs, BetaTsConfig
from bandit.policies.situation import Situation
from bandit.policies.winning_beta import beta
from store.records import Action

BOUND = 1e-7
"""What `beta` promises."""
TWO = Situation({}, [Action("a"), Action("b")])


def closed_form(a: tuple[int, int], b: tuple[int, int]) -> float:
    """P(A > B) for whole numbers, as a finite sum of Beta functions (Miller 2014, eq. 6)."""
    return sum(
        exp(betaln(b[0] + i, a[1] + b[1]) - np.log(a[1] + i) - betaln(1 + i, a[1]) - betaln(*b)) for i in range(a[0])
    )


def below(a: float, b: float, y: float) -> float:
    """The distribution function at the logit y, by the incomplete beta function."""
    return betainc(a, b, 1 / (1 + exp(-y))) if y < 0 else 1 - betainc(b, a, 1 / (1 + exp(y)))


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The defining integral on the logit scale by an adaptive rule, split where the densities have their mass."""

    def integrand(y: float, k: int) -> float:
        density = exp(a[k] * y - (a[k] + b[k]) * np.logaddexp(0, y) - betaln(a[k], b[k]))
        return density * np.prod([below(a[j], b[j], y) for j in range(len(a)) if j != k])

    centres, scales = np.log(a / b), np.sqrt(1 / a + 1 / b)
    middle = [c + z * s for c, s in zip(centres, scales, strict=True) for z in (-20, -9, -3, 0, 3, 9, 20)]
    # The tails fall as exp(a y) and exp(-b y).
    edges = np.unique([*middle, *(centres - 30 / a), *(centres + 30 / b)])
    spans = list(itertools.pairwise(edges))
    return np.array([sum(quad(integrand, *span, args=(k,), epsabs=1e-11)[0] for span in spans) for k in range(len(a))])


@pytest.mark.parametrize("a", [(1, 1), (2, 1), (3, 7), (40, 60), (1, 90)])
@pytest.mark.parametrize("b", [(1, 1), (1, 4), (55, 50), (200, 300)])
def test_agrees_with_the_closed_form(a: tuple[int, int], b: tuple[int, int]) -> None:
    """Two actions with whole counts: the finite sum."""
    p = beta(np.array([a[0], b[0]], float), np.array([a[1], b[1]], float))
    assert_allclose(p, [closed_form(a, b), closed_form(b, a)], atol=BOUND)


def test_by_hand() -> None:
    """Beta(2, 1) has the distribution function x^2, so it exceeds a uniform with 1 - 1/3; three uniforms share."""
    assert_allclose(beta(np.array([2.0, 1.0]), np.ones(2)), [2 / 3, 1 / 3], atol=BOUND)
    assert_allclose(beta(np.ones(3), np.ones(3)), np.full(3, 1 / 3), atol=1e-15)
    assert beta(np.ones(1), np.ones(1)).tolist() == [1.0]


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_adaptive_quadrature(seed: int) -> None:
    """2 to 6 actions with counts from 0.1 to 10,000."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 7))
    a, b = 10 ** rng.uniform(-1, rng.choice([1, 4]), (2, size))
    assert_allclose(beta(a, b), reference(a, b), atol=BOUND)


@pytest.mark.parametrize("size", [2, 10, 100])
def test_agrees_with_draws(size: int) -> None:
    """The winners of 100,000 draws: every frequency within 5.5 standard errors (p < 4e-6 by the union bound)."""
    rng = np.random.default_rng(size)
    a, b = rng.uniform(0.2, 30, (2, size))
    p, n = beta(a, b), 100_000
    wins = sum(np.bincount(rng.beta(a, b, (n // 10, size)).argmax(axis=1), minlength=size) for _ in range(10))
    assert (np.abs(wins - n * p) < 5.5 * np.sqrt(n * p * (1 - p)) + 5).all()


@pytest.mark.parametrize("count", [1e6, 1e9, 1e12])
def test_large_counts_are_gaussian(count: float) -> None:
    """After very many outcomes the probability is that of two Gaussians, half a joint deviation apart: Phi(1/2)."""
    apart = np.sqrt(0.5 * count) / 2
    successes = np.array([count / 2, count / 2 + apart])
    p = beta(successes, count - successes)
    assert_allclose(p[1], norm.cdf(0.5), atol=max(1e-5, 10 / count))


counts = st.floats(0.1, 1e9)
pairs = st.lists(st.tuples(counts, counts), min_size=1, max_size=10)


@given(pairs, st.randoms(use_true_random=False))
def test_is_a_distribution_and_knows_no_places(arms: list[tuple[float, float]], random) -> None:
    """Whatever the counts: no probability is negative, they sum to 1, and they go with their action."""
    a, b = np.array(arms).T.copy()
    p = beta(a, b)
    assert p.min() >= 0
    assert abs(p.sum() - 1) < 1e-12
    order = np.array(random.sample(range(len(arms)), len(arms)))
    assert_allclose(beta(a[order], b[order]), p[order], atol=1e-12)


@given(pairs, st.floats(0, 1e3))
def test_one_more_success_never_hurts(arms: list[tuple[float, float]], more: float) -> None:
    """Raising an action's successes does not lower its probability."""
    a, b = np.array(arms).T.copy()
    raised = a.copy()
    raised[0] += more
    assert beta(raised, b)[0] >= beta(a, b)[0] - BOUND


# The policy


def taught(*outcomes: tuple[int, float], decay: float = 1.0) -> BetaTs:
    policy = BetaTs(BetaTsConfig(), decay=decay)
    for arm, reward in outcomes:
        policy.learn(TWO, arm, reward, 0.5)
    return policy


def test_counts_by_hand() -> None:
    """Observe 0, 0, 1 under the prior Beta(1, 1): Beta(2, 3), mean 0.4, variance 0.4 * 0.6 / 6."""
    belief = taught((0, 0.0), (0, 0.0), (0, 1.0)).believe(TWO, None)
    assert isinstance(belief, Betas)
    assert (belief.successes[0], belief.failures[0]) == (2, 3)
    assert_allclose(belief.mean, [0.4, 0.5])
    assert_allclose(belief.deviation**2, [0.04, 1 / 12])


def test_rewards_count_in_part_and_outside_as_the_nearer_end() -> None:
    """0.25 is a quarter of a success; 7 is a success and -3 a failure."""
    assert taught((0, 0.25)).counts[1].tolist() == [1.25, 1.75]
    assert taught((0, 7.0), (0, -3.0)).counts[1].tolist() == [2, 2]


def test_decay_discounts_towards_the_prior() -> None:
    """By hand, decay 0.5 and rewards 1, 0: successes 1 + 1/2, failures 1 + 1."""
    assert taught((0, 1.0), (0, 0.0), decay=0.5).counts[1].tolist() == [1.5, 2]


def test_a_correction_is_exact_and_never_takes_more_than_was_learned() -> None:
    """Correcting 0 to 1 is as if 1 had been there; where decay has forgotten it, only what is left moves."""
    policy = taught((0, 0.0), (0, 0.5))
    policy.correct(TWO, 0, 1.0, 0.0)
    assert policy.counts[1].tolist() == taught((0, 1.0), (0, 0.5)).counts[1].tolist()
    faded = taught((0, 0.0), (0, 1.0), decay=0.5)
    faded.correct(TWO, 0, 1.0, 0.0)
    assert faded.counts[1].tolist() == [2.5, 1]


def test_beyond_max_actions_the_prior_stays() -> None:
    """Ids that have no counts of their own are at the prior."""
    policy = BetaTs(BetaTsConfig(max_actions=1))
    for arm in (0, 1):
        policy.learn(TWO, arm, 1.0, 0.5)
    assert policy.counts.shape == (2, 2)
    assert_allclose(policy.believe(TWO, None).mean, [2 / 3, 1 / 2])
