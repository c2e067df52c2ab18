"""The bounds behind the checks: by hand, by simulation, and against other implementations."""

import math

import numpy as np
import pytest
from scipy.stats import genpareto, poisson

from ope.diagnostics.evidence import STAKES, reach, tail, too_often, too_seldom
from ope.diagnostics.pareto import pareto_k, shape, tail_length, worst_k


def test_tail_by_hand():
    """S = 1, V = 1: exp(−(2 log 2 − 1)); nothing off is certain; what cannot vary cannot be off."""
    found = tail(np.array([1.0, 0.0, 0.5, -3.0]), np.array([1.0, 2.0, 0.0, 1.0]))
    assert found == pytest.approx([1 - 2 * math.log(2), 0.0, -math.inf, 0.0])


def test_tail_bounds_the_poisson_limit():
    """Counts of rare draws are Poisson: the bound is above each of their exact tails, and not by more than 10."""
    for mean in (1, 10, 100):
        off = np.arange(1, 5) * math.sqrt(mean)
        exact = poisson.sf(np.ceil(mean + off) - 1, mean)
        bound = np.exp(tail(np.ceil(mean + off) - mean, np.full(4, float(mean))))
        assert np.all(bound >= exact)
        assert np.all(bound <= 10 * exact)


def test_reach_is_the_inverse_of_tail():
    """At the deviation that `reach` gives, the tail has the probability that was asked."""
    for variance in (0.1, 5.0, 1e6):
        assert tail(np.array([reach(variance, -9.0)]), np.array([variance])) == pytest.approx([-9.0])


def test_too_often_by_hand():
    """Two rows, one draw at p = 1/4: each stake c multiplies (1 + 3c) by (1 − c), and the mean is the evidence."""
    stakes = np.array(STAKES)
    log_p = too_often(np.array([2.0]), np.array([1.0]), np.log1p(3 * stakes)[:, None])
    assert np.exp(-log_p) == pytest.approx([((1 + 3 * stakes) * (1 - stakes)).mean()])


def drawn(rng, p, rows):
    """Return how often an action of these probabilities was drawn, and the sums that the checks need."""
    inverse = 1 / p[rng.random(rows) < p]
    logs = [np.log1p(stake * (inverse - 1)).sum() for stake in STAKES]
    return len(inverse), inverse.sum(), (inverse**2).sum(), logs


def test_too_often_seldom_errs():
    """Of 4,000 healthy actions of unequal probabilities at most 5% have p <= 0.05 (+ 4 errors; seed 1)."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(4_000):
        p = rng.uniform(0.005, 0.5, 400)
        n, _, _, logs = drawn(rng, p, 400)
        found.append(too_often(np.array([400.0]), np.array([float(n)]), np.array(logs)[:, None])[0])
    wrong = np.mean(np.array(found) <= math.log(0.05))
    assert wrong <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 4_000)


def test_too_seldom_by_hand():
    """100 rows, 10 draws at p = 1/5: Σx = 50, E[x²] = 5, and exp(−50²/(2·500)) = exp(−2.5)."""
    assert too_seldom(100.0, np.array([50.0, 0.0, 120.0]), np.array([250.0, 0.0, 900.0])) == pytest.approx([-2.5, 0, 0])


# The same exceedances through arviz-stats 0.8.0, `BaseDiagnostics._gpdfit`: an implementation of others.
ARVIZ = {
    (0, 0.3, 200): 0.32308350492683535,
    (1, 0.7, 500): 0.6837767808749384,
    (2, 1.1, 50): 0.6323749715060517,
    (3, -0.2, 1000): -0.17581866919294353,
}


@pytest.mark.parametrize("case", ARVIZ)
def test_shape_agrees_with_arviz(case):
    """The fitted k is that of ArviZ to 1e-9."""
    seed, k, n = case
    exceedances = np.sort(genpareto.ppf(np.random.default_rng(seed).random(n), k))
    assert shape(exceedances) == pytest.approx(ARVIZ[case], rel=1e-9)


def test_shape_agrees_with_maximum_likelihood():
    """On 5,000 exceedances the fit is SciPy's to 0.02, but for the ten rows of the prior."""
    for k in (0.2, 0.6, 1.0):
        exceedances = np.sort(genpareto.rvs(k, size=5_000, random_state=3))
        likeliest = genpareto.fit(exceedances, floc=0)[0]
        assert shape(exceedances) == pytest.approx((5_000 * likeliest + 5) / 5_010, abs=0.02)


def test_shape_does_not_depend_on_the_unit():
    """A hundred times the weights have the same k."""
    exceedances = np.sort(genpareto.rvs(0.6, size=300, random_state=4))
    assert shape(100 * exceedances) == pytest.approx(shape(exceedances), rel=1e-9)


def test_k_of_weights():
    """Of 10,000 Pareto weights with k = 0.5 the 300 largest show it; equal or few weights have no tail."""
    w = np.sort(np.random.default_rng(5).random(10_000) ** -0.5)[::-1]
    assert tail_length(10_000) == 300
    assert pareto_k(w[:301], n=10_000) == pytest.approx(0.5, abs=0.2)
    assert pareto_k(w, n=10_000) == pareto_k(w[:301], n=10_000)
    assert pareto_k(np.ones(301), n=10_000) is None
    assert pareto_k(np.repeat([4.0, 3.0, 2.0, 1.0], 100), n=10_000) is None
    assert pareto_k(w[:3], n=3) is None


def test_worst_k():
    """1 − 1/log10 n, and never above the limit: 100 weights carry 0.5, 10,000 carry 0.7."""
    assert worst_k(100, 0.7) == pytest.approx(0.5)
    assert worst_k(10_000, 0.7) == 0.7
    assert worst_k(2, 0.7) == 0.0
