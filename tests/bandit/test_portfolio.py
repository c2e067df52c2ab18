"""The regressions' forgetting, the models side by side, and context crossed with action features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import norm

from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.crossing import crossed
from bandit.policies.portfolio import Portfolio
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation
from store.records import Action

VALUES = st.floats(-5, 5, allow_subnormal=False)
ONE = np.ones(1)


def portfolio(**settings: object) -> Portfolio:
    config = {"kind": "linear_ts", **settings}
    return policy_type(config).create(policy_config(config)).model


def alone(x: list[float]) -> Situation:
    return Situation({"x": x}, [Action("a")])


def test_forgetting_by_hand() -> None:
    """One coefficient, prior variance 1, decay 0.5: precision 1 -> 0.5 + 0.5 (the prior's) + 1 (the outcome's) = 2.

    Then 2 -> 1 + 0.5 + 1 = 2.5, and the mean is (0.5 * 3 + 1) / 2.5 after the rewards 3 and 1.
    """
    model = Regressions(1.0, 8, 8, 0.5)
    bare = Situation({}, [Action("a")])
    model.learn(bare, 0, 3.0)
    assert_allclose((model.mean[0, 1, 0], model.cov[0, 1, 0, 0]), (1.5, 0.5))
    model.learn(bare, 0, 1.0)
    assert_allclose((model.mean[0, 1, 0], model.cov[0, 1, 0, 0]), (1.0, 0.4))


def test_forgetting_agrees_with_the_information_form() -> None:
    """60 outcomes with decay 0.98 equal the recursion on precision and information vector to 1e-9."""
    decay, prior, width = 0.98, 2.0, 4
    model = Regressions(prior, 8, 8, decay)
    rng = np.random.default_rng(1)
    precision, information = np.eye(width) / prior, np.zeros(width)
    model.learn(alone([0.0] * 3), 0, 0.0)  # the columns stand from the first outcome on
    model.cov[0, 1], model.mean[0, 1], model.updates[1] = np.eye(width) * prior, 0.0, 0
    for n in range(60):
        x = rng.normal(size=3)
        reward = float(rng.normal())
        model.learn(alone(x.tolist()), 0, reward)
        back = np.zeros((width, width))
        back[n % width, n % width] = width * (1 - decay) / prior
        row = np.array([1.0, *x])
        precision = decay * precision + back + np.outer(row, row)
        information = decay * information + row * reward
    assert_allclose(model.cov[0, 1], np.linalg.inv(precision), atol=1e-9)
    assert_allclose(model.mean[0, 1], np.linalg.solve(precision, information), atol=1e-9)


def test_what_is_not_observed_comes_back_to_the_prior_and_no_further() -> None:
    """After 3,000 outcomes that never vary, with decay 0.9, no direction's variance exceeds twice the prior's."""
    model = Regressions(1.0, 16, 4, 0.9)
    for _ in range(3000):
        model.learn(alone([1.0, 2.0, 0.0, 0.0, 0.0]), 0, 0.5)
    assert np.linalg.eigvalsh(model.cov[0, 1]).max() < 2.0
    assert np.linalg.eigvalsh(model.cov[0, 1]).min() > 0


def test_an_action_that_is_not_tried_forgets_nothing() -> None:
    """Outcomes of one action leave another's regression as it is, to the bit."""
    model = Regressions(1.0, 8, 8, 0.9)
    two = Situation({"x": 1.0}, [Action("a"), Action("b")])
    model.learn(two, 0, 1.0)
    before = model.mean[0, 1].copy(), model.cov[0, 1].copy()
    for _ in range(20):
        model.learn(two, 1, 0.0)
    assert (model.mean[0, 1] == before[0]).all()
    assert (model.cov[0, 1] == before[1]).all()


def test_density_is_the_predictive_normal() -> None:
    """What `learn` returns is the log density of the reward before it was learned, less the constant of the normal."""
    model = Regressions(1.5, 8, 8, [1.0, 0.9])
    rng = np.random.default_rng(2)
    for _ in range(20):
        model.learn(alone(rng.normal(size=2).tolist()), 0, float(rng.normal()))
    x, reward = np.array([1.0, 0.3, -0.2]), 0.7
    mean, cov, noise = model.mean[0, 1].copy(), model.cov[0, 1].copy(), model.noise()[0]
    densities = model.learn(alone([0.3, -0.2]), 0, reward)
    expected = norm.logpdf(reward, x @ mean, np.sqrt(noise * (1 + x @ cov @ x))) + np.log(2 * np.pi) / 2
    assert densities[0] == pytest.approx(expected)


def test_crossing_by_hand() -> None:
    """Two actions with one feature each, two context features: the feature, and it times each of the context's."""
    seen = Situation({"c": 2.0, "d": 3.0}, [Action("a", {"f": 1.0}), Action("b", {"f": -1.0})])
    names, values = crossed(seen, ids=False).table()
    assert names == ("f", "f*c", "f*d")
    assert values.tolist() == [[1, 2, 3], [-1, -2, -3]]
    assert crossed(seen, ids=True).action(1) == {
        "\0id=b": 1, "f": -1, "\0id=b*c": 2, "\0id=b*d": 3, "f*c": -2, "f*d": -3,
    }  # fmt: skip


def test_crossing_does_not_depend_on_how_features_were_read() -> None:
    """Actions of one shape are read as a table, others one by one: the products are the same."""
    alike = [Action("a", {"f": 1.5, "g": 0.5}), Action("b", {"f": -1.0, "g": 2.0})]
    table = crossed(Situation({"c": 2.0}, alike), ids=False)
    single = crossed(Situation({"c": 2.0}, [*alike, Action("odd", {"h": "x"})]), ids=False)
    assert single.table() is None
    assert [table.action(i) for i in range(2)] == [single.action(i) for i in range(2)]


def test_hybrid_agrees_with_the_normal_equations() -> None:
    """One joint regression over action features, ids and their products with the context, in closed form to 1e-8."""
    model = portfolio(arms="hybrid", memories=[1.0])
    rng = np.random.default_rng(3)
    rows, rewards = [], []
    for _ in range(80):
        c, f = rng.normal(size=2).tolist()
        arm = int(rng.integers(2))
        seen = Situation({"c": c}, [Action("a", {"f": f}), Action("b", {"f": f})])
        rewards.append(float(rng.normal() + f * c + arm))
        model.learn(seen, arm, rewards[-1])
        one_hot = np.eye(2)[arm]
        rows.append([1.0, f, f * c, *one_hot, *(one_hot * c)])
    design = np.array(rows)
    precision = np.eye(7) + design.T @ design
    theta = np.linalg.solve(precision, design.T @ np.array(rewards))
    mean, _ = model.scores(Situation({"c": 0.4}, [Action("a", {"f": 2.0}), Action("b", {"f": 2.0})]))
    new = np.array([[1, 2, 0.8, 1, 0, 0.4, 0], [1, 2, 0.8, 0, 1, 0, 0.4]])
    assert_allclose(mean, new @ theta, atol=1e-8)


def taught(world: str, rounds: int = 400) -> Portfolio:
    """A portfolio after so many outcomes of a world where all actions share coefficients, or each has its own."""
    model, rng = portfolio(), np.random.default_rng(4)
    own = rng.normal(size=(4, 3))
    for _ in range(rounds):
        c, f = rng.normal(size=3), rng.normal(size=(4, 3))
        arm = int(rng.integers(4))
        expected = f[arm] @ c if world == "shared" else own[arm] @ c
        seen = Situation({"c": c.tolist()}, [Action(name, {"f": f[k].tolist()}) for k, name in enumerate("abcd")])
        model.learn(seen, arm, float(expected + 0.1 * rng.normal()))
    return model


@pytest.mark.parametrize("world", ["shared", "disjoint"])
def test_the_model_of_the_world_gets_the_weight(world: str) -> None:
    """After 400 outcomes nearly all weight is with the family that the world is made of."""
    model = taught(world)
    seen = Situation({"c": [0.0] * 3}, [Action("a", {"f": [1.0] * 3})])
    weights = dict(zip(model.families, model.weights(seen).sum(axis=1), strict=True))
    assert weights[world] > 0.99


def test_short_memory_gets_the_weight_when_the_world_turns() -> None:
    """In a steady world the long memory has most of the weight, 100 outcomes after a turn the short one."""
    model, rng = portfolio(arms="disjoint", memories=[1.0, 0.9]), np.random.default_rng(5)
    theta = rng.normal(size=3)
    for n in range(1100):
        if n == 1000:
            steady = model.weights(alone([0.0] * 3))[0]
            theta = -theta
        x = rng.normal(size=3)
        model.learn(alone(x.tolist()), 0, float(x @ theta + 0.1 * rng.normal()))
    turned = model.weights(alone([0.0] * 3))[0]
    assert steady[0] > 0.9
    assert turned[1] > 0.9


def test_without_action_features_the_shared_model_has_no_say() -> None:
    """Where actions are only ids, all weight is with the disjoint regressions, and the shared one learns nothing."""
    model = portfolio()
    two = Situation({"x": 1.0}, [Action("a"), Action("b")])
    for arm in (0, 1, 0):
        model.learn(two, arm, float(arm))
    assert model.weights(two)[1].tolist() == [0, 0, 0]
    assert model.families["shared"].updates.tolist() == [0, 0]


def test_the_mixture_has_the_moments_of_a_mixture() -> None:
    """Mean and variance agree with 400,000 draws from the members, by weight (5 standard errors)."""
    model = taught("disjoint", rounds=12)
    rng = np.random.default_rng(6)
    seen = Situation({"c": [0.5, -0.2, 1.0]}, [Action(n, {"f": [0.3, 1.0, -1.0]}) for n in "ab"])
    mean, deviation = model.scores(seen)
    weights, draws = model.weights(seen), []
    assert (weights > 0).sum() > 1
    for (name, family), row in zip(model.families.items(), weights, strict=True):
        view = seen if name == "disjoint" else crossed(seen, ids=False)
        for m in np.nonzero(row)[0]:
            center, variance = family.moments(view, np.eye(len(row))[m])
            size = round(400_000 * row[m])
            draws.append(center + np.sqrt(variance) * rng.normal(size=(size, 2)))
    sampled = np.concatenate(draws)
    error = sampled.std(axis=0) / np.sqrt(len(sampled))
    assert (np.abs(sampled.mean(axis=0) - mean) < 5 * error).all()
    assert_allclose(sampled.std(axis=0), deviation, rtol=0.02)


def test_who_has_no_say_does_not_drown_the_others() -> None:
    """The shared family may lead by more than float64 can hold: without action features the others still sum to 1."""
    model = portfolio()
    model.log_weights[0] = -5000.0
    weights = model.weights(Situation({"x": 1.0}, [Action("a"), Action("b")]))
    assert weights.sum() == pytest.approx(1)
    assert weights[1].tolist() == [0, 0, 0]


def test_deciding_and_learning_see_the_same_products() -> None:
    """A feature that is named like a product adds up with it, however the features were read."""
    seen = Situation({"c": 2.0}, [Action("a", {"a": 3.0, "a*c": 100.0}), Action("b", {"a": 1.0, "a*c": 5.0})])
    model = Regressions(1.0, 8, 8, shared=True)
    alone = crossed(seen.only(0), ids=False)
    model.columns.add(alone.context, alone.action(0))
    decided = model.columns.matrix(crossed(seen, ids=False))[0]
    assert decided.tolist() == model.columns.vector(alone.context, alone.action(0)).tolist() == [1, 3, 106, 200]


def test_an_id_is_not_mistaken_for_a_feature() -> None:
    """Actions whose own feature `id` names another action stay apart in the hybrid model."""
    two = Situation({}, [Action("a0", {"id": "a1"}), Action("a1", {"id": "a0"})])
    view = crossed(two, ids=True)
    assert view.action(0) != view.action(1)


def test_too_many_products_are_not_made() -> None:
    """100 context features times 100 of an action's are 10,000 products: the action's own features are left."""
    many = {f"f{i}": 1.0 for i in range(100)}
    names, _ = crossed(Situation(many, [Action("a", many)]), ids=False).table()
    assert len(names) == 100


FEATURES = st.dictionaries(st.sampled_from(["a", "b", "a*x", "b*y", "new"]), VALUES, max_size=4)
CONTEXTS = st.dictionaries(st.sampled_from(["x", "y", "unknown"]), VALUES, max_size=3)


@given(FEATURES, st.lists(st.lists(VALUES, min_size=5, max_size=5), min_size=1), CONTEXTS)
def test_crossed_moments_agree_with_those_of_the_products(
    shape: dict[str, float], values: list[list[float]], context: dict[str, object]
) -> None:
    """Multiplied out or not, names that are both a feature and a product or that have no column included."""
    model = Regressions(0.7, 12, 8, (1.0, 0.9), shared=True)
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b, x, y = rng.normal(size=4).tolist()
        seen = Situation({"x": x, "y": y}, [Action("one", {"a": a, "b": b, "a*x": 0.3})])
        model.learn(crossed(seen, ids=False), 0, a * x + b)
    actions = [Action(f"{k}", dict(zip(shape, row, strict=False))) for k, row in enumerate(values)]
    seen = crossed(Situation(context, actions), ids=False)
    weights = np.array([0.3, 0.7])
    dense = Situation.of(seen.ids, flat=seen.actions())
    for got, expected in zip(model.moments(seen, weights), model.moments(dense, weights), strict=True):
        assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_products_beyond_what_counts_are_cut_off_as_elsewhere() -> None:
    """Own feature and context are in range and their product is not: it counts as the largest that does."""
    model = Regressions(1.0, 12, 8, shared=True)
    model.learn(crossed(Situation({"x": 1.0}, [Action("one", {"a": 1.0})]), ids=False), 0, 1.0)
    seen = crossed(Situation({"x": 1e4}, [Action("one", {"a": 1e3}), Action("two", {"a": 1.0})]), ids=False)
    mean, _ = model.moments(seen, ONE)
    assert_allclose(mean, model.mean[0, 1] @ model.columns.matrix(seen).clip(-1e6, 1e6).T)
