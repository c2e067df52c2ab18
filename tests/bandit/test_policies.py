"""The conformance suite that every policy kind must pass, and the linear policies' maths."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from bandit.policies.base import Belief, Policy
from bandit.policies.catalogue import KINDS, policy_config, policy_type
from bandit.policies.situation import Situation
from store.errors import InvalidInput
from store.records import Action

CONFIGS = [
    {"kind": "linear_ts"},
    {"kind": "linear_ts", "max_features": 4, "max_actions": 2},
    {"kind": "linear_ucb"},
    {"kind": "uniform"},
    {"kind": "fixed", "action": "b"},
    {"kind": "vw"},
    {"kind": "vw", "explorer": "epsilon", "interactions": False},
]
if sys.version_info >= (3, 13):
    CONFIGS = [config for config in CONFIGS if config["kind"] != "vw"]

everyone = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: "-".join(map(str, c.values())))


def make(config: dict[str, object]) -> Policy:
    return policy_type(config).create(policy_config(config))


def reload(policy: Policy, config: dict[str, object]) -> Policy:
    return policy_type(config).load(policy_config(config), policy.dump())


def situation(rng: np.random.Generator, ids: str = "abcd") -> Situation:
    context = {"x": rng.normal(size=3).tolist(), "who": str(rng.choice(["u", "v w", "t:1|2"]))}
    return Situation(context, [Action(name, {"q": float(rng.normal())}) for name in ids])


def teach(policy: Policy, rounds: range) -> None:
    for i in rounds:
        rng = np.random.default_rng(i)
        policy.learn(situation(rng), int(rng.integers(4)), float(rng.random()), 0.25)


def frozen(seed: int = 1):
    return lambda: np.random.default_rng(seed)


def pmf(belief: Belief, among: tuple[int, ...] = (0, 1, 2, 3)) -> np.ndarray:
    return belief.distribution(np.array(among))


def test_every_kind_is_under_test() -> None:
    """The suite has no skip list: each registered kind stands in it."""
    assert {config["kind"] for config in CONFIGS} == set(KINDS)


@everyone
@pytest.mark.parametrize("taught", [0, 60])
def test_beliefs_are_distributions(config: dict[str, object], taught: int) -> None:
    """Fresh or taught, over any subset of the actions, the probabilities are not negative and sum to 1."""
    policy = make(config)
    teach(policy, range(taught))
    for seed in range(20):
        belief = policy.believe(situation(np.random.default_rng(seed)), frozen(seed))
        for among in ((0, 1, 2, 3), (1, 3), (2,)):
            p = pmf(belief, among)
            assert p.shape == (len(among),)
            assert p.min() >= 0
            assert abs(p.sum() - 1) < 1e-12
        assert belief.mean is None or np.isfinite(belief.mean).all()


@everyone
def test_believing_changes_nothing(config: dict[str, object]) -> None:
    """`believe` is pure: the same question has the same answer, and the state keeps its bytes."""
    policy = make(config)
    teach(policy, range(40))
    before = policy.dump()
    asked = situation(np.random.default_rng(0))
    first, second = (pmf(policy.believe(asked, frozen())) for _ in range(2))
    assert (first == second).all()
    assert policy.dump() == before


@everyone
def test_state_round_trips_and_goes_on_bit_for_bit(config: dict[str, object]) -> None:
    """Learning, storing, loading and learning on is learning all at once, to the last bit."""
    at_once, halted = make(config), make(config)
    teach(at_once, range(80))
    teach(halted, range(40))
    resumed = reload(halted, config)
    assert resumed.dump() == halted.dump()
    teach(resumed, range(40, 80))
    assert resumed.dump() == at_once.dump()
    asked = situation(np.random.default_rng(5))
    assert (pmf(resumed.believe(asked, frozen())) == pmf(at_once.believe(asked, frozen()))).all()


@everyone
def test_actions_come_and_go(config: dict[str, object]) -> None:
    """A new action, a missing one and another feature set are all taken."""
    policy = make(config)
    teach(policy, range(30))
    odd = Situation({"new": 1}, [Action("b"), Action("new", {"other": True}), Action("z", {"q": [1, 2]})])
    assert abs(pmf(policy.believe(odd, frozen()), (0, 1, 2)).sum() - 1) < 1e-12
    policy.learn(odd, 1, 1.0, 0.5)
    policy.correct(odd, 1, 0.0, 1.0)
    assert abs(pmf(policy.believe(odd, frozen()), (0, 1, 2)).sum() - 1) < 1e-12


@everyone
def test_damaged_state_is_refused(config: dict[str, object]) -> None:
    """A policy with a state does not load a damaged one."""
    policy = make(config)
    state = policy.dump()
    if state:
        with pytest.raises(InvalidInput, match="damaged"):
            policy_type(config).load(policy_config(config), state[:-5])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "policy.kind is None; it must be one of"),
        ({"kind": "best"}, "'best'"),
        ({"kind": "linear_ts", "scale": -1}, r"\$.scale.*settings of 'linear_ts' are: .*draws"),
        ({"kind": "uniform", "x": 1}, "unknown field `x`.*none"),
    ],
)
def test_bad_configs_are_refused(config: dict[str, object], said: str) -> None:
    """An unknown kind or setting is refused with what is allowed."""
    with pytest.raises(InvalidInput, match=said):
        policy_config(config)


class TestLinear:
    """The normal-inverse-gamma regression."""

    def one(self, kind: str = "linear_ucb", **settings: object):
        return make({"kind": kind, "prior_variance": 2.0, **settings})

    def test_hand_checked(self) -> None:
        """Intercept only, prior variance 2, rewards 1 and 0: precision 1/2 + 2, so mean 1 / 2.5 and variance 0.4."""
        policy = self.one()
        alone = Situation({}, [Action("a")])
        policy.learn(alone, 0, 1.0, 1.0)
        policy.learn(alone, 0, 0.0, 1.0)
        assert_allclose(policy._mean[1], [0.4])
        assert_allclose(policy._cov[1], [[0.4]])
        # Inverse gamma: shape 1 + 2/2, rate 0.25 + (sum of squares 1 - mean * precision * mean 0.4) / 2.
        assert policy._noise() == pytest.approx((0.25 + 0.3) / 2)

    def test_agrees_with_the_normal_equations(self) -> None:
        """After 200 rank-one updates, mean, covariance and noise equal the closed form to 1e-9."""
        policy = self.one()
        rng = np.random.default_rng(3)
        rows, rewards = [], []
        for i in range(200):
            x = rng.normal(size=4)
            rewards.append(float(x[0] - x[1] + rng.normal()))
            rows.append([1.0, *x])
            policy.learn(Situation({"x": x.tolist()}, [Action("a")]), 0, rewards[i], 1.0)
        design, y = np.array(rows), np.array(rewards)
        precision = np.eye(5) / 2.0 + design.T @ design
        mean = np.linalg.solve(precision, design.T @ y)
        assert_allclose(policy._mean[1], mean, atol=1e-9)
        assert_allclose(policy._cov[1], np.linalg.inv(precision), atol=1e-9)
        assert policy._squares == pytest.approx(y @ y - mean @ precision @ mean, rel=1e-9)

    def test_correction_is_as_if_the_reward_had_been_there(self) -> None:
        """Learning 0 and correcting it to 1 much later equals learning 1 at once."""
        told, corrected = self.one(), self.one()
        cases = [situation(np.random.default_rng(i)) for i in range(30)]
        for i, case in enumerate(cases):
            told.learn(case, i % 4, 1.0 if i == 3 else 0.5, 1.0)
            corrected.learn(case, i % 4, 0.0 if i == 3 else 0.5, 1.0)
        corrected.correct(cases[3], 3, 1.0, 0.0)
        assert_allclose(corrected._mean, told._mean, atol=1e-12)
        assert_allclose(corrected._cov, told._cov, atol=1e-12)
        assert corrected._squares == pytest.approx(told._squares, abs=1e-12)

    def test_order_of_actions_does_not_matter_to_beliefs(self) -> None:
        """Means belong to ids, not to places."""
        policy = self.one()
        teach(policy, range(50))
        rng = np.random.default_rng(0)
        full = situation(rng)
        some = Situation(dict(full.context), [full._actions[i] for i in (1, 3)])
        everyone_mean = policy.believe(full, frozen()).mean
        assert_allclose(policy.believe(some, frozen()).mean, everyone_mean[[1, 3]], atol=1e-12)

    def test_frequencies_of_draws_approach_the_exact_probability(self) -> None:
        """For two independent Gaussian actions, 10,000 draws agree with Phi within 5 standard errors (p < 1e-6)."""
        policy = self.one("linear_ts", draws=10_000, scale=1.0)
        two = Situation({}, [Action("a"), Action("b")])
        for reward, arm in ((1.0, 0), (0.4, 1), (0.8, 0)):
            policy.learn(two, arm, reward, 0.5)
        mean, deviation = policy._score(two)
        exact = norm.cdf((mean[0] - mean[1]) / np.hypot(*deviation))
        p = policy.believe(two, frozen()).distribution(np.arange(2))[0]
        assert abs(p - exact) < 5 * np.sqrt(exact * (1 - exact) / 10_000)

    def test_ucb_ties_are_shared(self) -> None:
        """Fresh actions tie and share the probability."""
        belief = self.one().believe(situation(np.random.default_rng(0), "ab"), frozen())
        tied = Situation({}, [Action("a"), Action("b")])
        assert self.one().believe(tied, frozen()).distribution(np.arange(2)).tolist() == [0.5, 0.5]
        assert belief.mean.tolist() == [0.0, 0.0]

    def test_memory_is_bounded(self) -> None:
        """Beyond `max_features` and `max_actions` the state stops growing, and learning goes on."""
        policy = self.one(max_features=5, max_actions=3)
        for i in range(50):
            policy.learn(Situation({f"f{i}": 1.0}, [Action(f"a{i}")]), 0, 1.0, 1.0)
        assert policy._cov.shape == (1 + 3, 5, 5)
