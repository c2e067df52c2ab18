"""The hashed regression: exact where its diagonal is, and close to the full one elsewhere."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bandit.policies.catalogue import policy_config
from bandit.policies.hashed import HashedRegression
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation
from store.errors import InvalidInput
from store.records import Action

ONE = np.ones(1)


def test_alone_the_constant_is_exact() -> None:
    """Without features there is one coefficient per action, whose posterior is the full regression's."""
    hashed, full = HashedRegression(2.0, 18, [1.0]), Regressions(2.0, 8, 8)
    two = Situation({}, [Action("a"), Action("b")])
    rng = np.random.default_rng(0)
    for _ in range(30):
        arm, reward = int(rng.integers(2)), float(rng.normal())
        assert_allclose(hashed.learn(two, arm, reward), full.learn(two, arm, reward))
    for got, expected in zip(hashed.moments(two, ONE), full.moments(two, ONE), strict=True):
        assert_allclose(got, expected)


def test_forgetting_by_hand() -> None:
    """One coefficient, prior variance 1, decay 0.5, rewards 3 and 1: mean 1.0 and precision 2.5, as in the full one."""
    model = HashedRegression(1.0, 10, [0.5])
    bare = Situation({}, [Action("a")])
    for reward in (3.0, 1.0):
        model.learn(bare, 0, reward)
    arrays = model.arrays()
    assert_allclose((arrays["mean"], arrays["precision"]), ([[1.0]], [[2.5]]))


def test_learns_a_sparse_world() -> None:
    """500 of 100,000 possible features per pass, 3 of them in each context: predictions correlate with the truth."""
    model = HashedRegression(1.0, 18, [1.0])
    rng = np.random.default_rng(1)
    worth = dict(enumerate(rng.normal(size=500)))
    truth, predicted = [], []
    for n in range(6000):
        chosen = rng.choice(500, size=3, replace=False)
        seen = Situation({f"f{j}": 1.0 for j in chosen}, [Action("a")])
        value = sum(worth[j] for j in chosen)
        if n >= 5000:
            truth.append(value)
            predicted.append(model.moments(seen, ONE)[0][0])
        model.learn(seen, 0, float(value + 0.1 * rng.normal()))
    assert np.corrcoef(truth, predicted)[0, 1] > 0.99


def test_collisions_add_up_and_stay_finite() -> None:
    """With far more features than places nothing overflows, and memory stays 2^bits."""
    model = HashedRegression(1.0, 8, [1.0, 0.9])
    rng = np.random.default_rng(2)
    for n in range(300):
        seen = Situation({f"f{n}-{i}": float(x) for i, x in enumerate(rng.normal(size=50))}, [Action(f"a{n}")])
        model.learn(seen, 0, 1e12 * float(rng.normal()))
    mean, variance = model.moments(seen, np.array([0.5, 0.5]))
    assert np.isfinite([mean, variance]).all()
    assert model.mean.shape == (2, 256)


def test_state_holds_only_what_was_learned() -> None:
    """Three features of one action and its constant: four places are written, and read back to the bit."""
    model = HashedRegression(1.0, 18, [1.0])
    seen = Situation({"a": 1.0, "b": 2.0, "c": 3.0}, [Action("x")])
    model.learn(seen, 0, 1.0)
    arrays = model.arrays()
    assert len(arrays["places"]) == 4
    again = HashedRegression(1.0, 18, [1.0])
    again.restore({}, arrays)
    assert (again.mean == model.mean).all()
    assert (again.precision == model.precision).all()


def test_hashing_what_all_share_is_refused() -> None:
    """`hash_bits` belongs to coefficients of each action's own."""
    with pytest.raises(InvalidInput, match=r"hash_bits is 18 and policy.arms 'shared'"):
        policy_config({"kind": "linear_ts", "arms": "shared", "hash_bits": 18})


def test_state_keeps_what_moved_the_mean_alone() -> None:
    """A feature of 1e-9 changes no precision but the mean: it is written and read back too."""
    model, again = HashedRegression(1.0, 10, [1.0]), HashedRegression(1.0, 10, [1.0])
    model.learn(Situation({"x": 1e-9}, [Action("a")]), 0, 1.0)
    again.restore({}, model.arrays())
    assert (again.mean == model.mean).all()
