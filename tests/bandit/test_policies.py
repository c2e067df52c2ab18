"""The conformance suite that every policy kind must pass, and the linear policies' maths."""

import sys
import time
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from bandit.decide import DecisionRequest, Frame, decide
from bandit.learn.learner import read_situation
from bandit.policies.base import Belief, Policy
from bandit.policies.catalogue import KINDS, policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.settings import read_config
from store.errors import InvalidInput
from store.records import Action

CONFIGS = [
    {"kind": "linear_ts"},
    {"kind": "linear_ts", "max_features": 4, "max_actions": 2},
    {"kind": "linear_ucb"},
    {"kind": "uniform"},
    {"kind": "fixed", "action": "b"},
    {"kind": "baseline"},
    {"kind": "logistic_ts"},
    {"kind": "logistic_ts", "max_features": 4, "max_actions": 2},
    {"kind": "beta_ts"},
    {"kind": "beta_ts", "prior_successes": 0.1, "max_actions": 2},
    {"kind": "bootstrap_ts"},
    {"kind": "bootstrap_ts", "weights": "double_or_nothing", "replicates": 5},
    {"kind": "epsilon_greedy"},
    {"kind": "epsilon_greedy", "power": 0.5},
    {"kind": "softmax"},
    {"kind": "squarecb"},
    {"kind": "regcb"},
    {"kind": "regcb", "choice": "optimism"},
    {"kind": "vw"},
    {"kind": "vw", "explorer": "epsilon", "interactions": False},
    {"kind": "vw", "explorer": "epsilon", "cb_type": "dr"},
    {"kind": "vw", "explorer": "softmax", "cb_type": "ips", "interactions": ["cc", "caa"]},
    {"kind": "vw", "explorer": "first", "first": 50},
    {"kind": "vw", "explorer": "bag"},
    {"kind": "vw", "explorer": "cover"},
    {"kind": "vw", "explorer": "cover", "cb_type": "dr"},
    {"kind": "vw", "explorer": "regcb"},
    {"kind": "vw", "explorer": "regcbopt"},
    {"kind": "vw", "explorer": "large_action_spaces", "max_actions": 3},
]
if sys.version_info >= (3, 13):
    CONFIGS = [config for config in CONFIGS if config["kind"] != "vw"]

everyone = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: "-".join(map(str, c.values())))


OWN_TIES = {
    "baseline": "the caller's order decides",
    "bootstrap_ts": "each replicate has an offset of its own for each id",
    "regcbopt": "VW takes the first of the best; a frozen draw decides the places",
    "large_action_spaces": "so it does here",
    "rnd": "VW's random networks see the action's id",
}
"""Kinds, or explorers of VW, that do not share evenly among actions that look alike, and why."""


LEARN_NOTHING = {"uniform", "fixed", "baseline"}


def make(config: dict[str, object], decay: float = 1.0) -> Policy:
    return policy_type(config).create(policy_config(config), decay=decay)


def reload(policy: Policy, config: dict[str, object], decay: float = 1.0) -> Policy:
    return policy_type(config).load(policy_config(config), policy.dump(), decay=decay)


def situation(rng: np.random.Generator, ids: str = "abcd") -> Situation:
    context = {"x": rng.normal(size=3).tolist(), "who": str(rng.choice(["u", "v w", "t:1|2"]))}
    return Situation(context, [Action(name, {"q": float(rng.normal())}) for name in ids])


def teach(policy: Policy, rounds: range) -> None:
    for i in rounds:
        rng = np.random.default_rng(i)
        policy.learn(situation(rng), int(rng.integers(4)), float(rng.random()), 0.25)


def frozen(seed: int = 1):
    return lambda: np.random.default_rng(seed)


def pmf(belief: Belief, among: Sequence[int] = (0, 1, 2, 3)) -> np.ndarray:
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
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_state_round_trips_and_goes_on_bit_for_bit(config: dict[str, object], decay: float) -> None:
    """Learning, storing, loading and learning on is learning all at once, to the last bit; so with decay."""
    at_once, halted = make(config, decay), make(config, decay)
    teach(at_once, range(80))
    teach(halted, range(40))
    resumed = reload(halted, config, decay)
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
def test_order_of_actions_does_not_matter(config: dict[str, object]) -> None:
    """Probabilities go with the action, wherever it stands; the caller's order stays the caller's."""
    policy = make(config)
    teach(policy, range(50))
    asked = situation(np.random.default_rng(7))
    order = [2, 0, 3, 1]
    moved = Situation(dict(asked.context), [asked._actions[i] for i in order], asked._actions)
    assert_allclose(pmf(policy.believe(moved, frozen())), pmf(policy.believe(asked, frozen()))[order], atol=1e-6)


@everyone
def test_actions_that_look_alike_share(config: dict[str, object]) -> None:
    """Before anything is learned, actions without features have 1/K each.

    Where the kind has its own way with ties, it is so on average over 400 sets of ids and orders, to 5 standard errors
    (p < 3e-6 for four actions).
    """
    policy, rng = make(config), np.random.default_rng(11)
    total = np.zeros(4)
    for i in range(400):
        place = rng.permutation(4)
        alike = [Action(f"{i}-{k}") for k in range(4)]
        p = pmf(policy.believe(Situation({}, alike, [alike[k] for k in rng.permutation(4)]), frozen()))
        assert config.get("explorer", config["kind"]) in OWN_TIES or abs(p - 0.25).max() < 1e-7
        total += p[place]
    assert abs(total / 400 - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 400)


@everyone
def test_the_best_action_is_found(config: dict[str, object]) -> None:
    """Left to itself for 600 decisions, a policy that learns gives most of its probability to what earns most.

    The actions earn 1 with probability 0.1, 0.2, 0.3 and 0.8; the seed is fixed. A config that keeps two actions alone
    need not know the best one.
    """
    policy, rng = make(config), np.random.default_rng(19)
    alike = Situation({}, [Action(name) for name in "abcd"])
    for _ in range(600):
        p = 0.8 * pmf(policy.believe(alike, frozen(int(rng.integers(2**32))))) + 0.2 / 4
        arm = int(rng.choice(4, p=p))
        policy.learn(alike, arm, float(rng.random() < (0.1, 0.2, 0.3, 0.8)[arm]), float(p[arm]))
    assert (policy.dump() == make(config).dump()) == (config["kind"] in LEARN_NOTHING)
    p = pmf(policy.believe(alike, frozen()))
    assert p[3] > p.max() - 1e-6 or config["kind"] in LEARN_NOTHING or config.get("max_actions") == 2


@everyone
def test_memory_has_a_bound(config: dict[str, object]) -> None:
    """However many names of features and ids of actions are learned from, the state stays within the limits set."""
    settings = {field.name for field in msgspec.structs.fields(policy_type(config).config_type)}
    limits = {
        name: value for name, value in (("max_features", 5), ("max_actions", 3), ("bits", 10)) if name in settings
    }
    policy = make({**config, **limits})
    for i in range(600):
        policy.learn(Situation({f"f{i}": 1.0}, [Action(f"a{i}", {f"g{i}": 2.0})]), 0, 1.0, 1.0)
    assert len(policy.dump()) < 60_000


@everyone
def test_decay_forgets(config: dict[str, object]) -> None:
    """After 200 rewards of 1, twenty of 0 lower the prediction of a policy that forgets by more."""
    steady, forgetful = make(config), make(config, decay=0.8)
    alone = Situation({}, [Action("a"), Action("b")])
    for policy in (steady, forgetful):
        for i in range(220):
            policy.learn(alone, 0, float(i < 200), 0.5)
    means = [policy.believe(alone, frozen()).mean for policy in (steady, forgetful)]
    if not steady.forgets or means[0] is None:
        assert steady.dump() == forgetful.dump()
    else:
        assert means[1][0] < means[0][0]
        assert means[1][0] < 0.35


@everyone
def test_thousands_of_actions(config: dict[str, object]) -> None:
    """2,000 actions, one in ten of them learned, are decided among within 5 seconds."""
    policy, rng = make(config), np.random.default_rng(13)
    many = Situation({"x": [1.0, -1.0]}, [Action(f"{k:04}", {"q": float(rng.normal())}) for k in range(2000)])
    for arm in range(0, 2000, 10):
        policy.learn(many, arm, float(rng.random()), 0.5)
    began = time.perf_counter()
    p = pmf(policy.believe(many, frozen()), range(2000))
    assert time.perf_counter() - began < 5
    assert p.min() >= 0
    assert abs(p.sum() - 1) < 1e-12


@everyone
@pytest.mark.parametrize("reward", [1e12, -1e12, 1e15])
def test_extreme_numbers_never_give_a_nan(config: dict[str, object], reward: float) -> None:
    """Rewards of 1e12 and more beside features from 1e-15 to 1e15 leave a distribution and finite predictions."""
    policy, rng = make(config), np.random.default_rng(17)
    for i in range(60):
        size = float(rng.choice([1e15, -1e15, 1e-15, 1.0, 0.0]))
        case = Situation({"x": size}, [Action(name, {"q": -size}) for name in "abcd"])
        policy.learn(case, i % 4, reward if i % 3 else -reward, 0.25)
        policy.correct(case, i % 4, 0.5, reward if i % 3 else -reward)
        belief = policy.believe(case, frozen())
        p = pmf(belief)
        assert p.min() >= 0
        assert abs(p.sum() - 1) < 1e-12
        assert belief.mean is None or np.isfinite(belief.mean).all()


@everyone
def test_damaged_state_is_refused(config: dict[str, object]) -> None:
    """A policy with a state does not load a damaged one."""
    policy = make(config)
    state = policy.dump()
    if state:
        with pytest.raises(InvalidInput, match="damaged"):
            policy_type(config).load(policy_config(config), state[:-5])


def test_the_baseline_is_the_callers_order() -> None:
    """Whatever the ids, the ranking is the request's; so it is for what was logged."""
    request = DecisionRequest([Action("c"), Action("a"), Action("b")], top_n=3)
    config = {"policy": {"kind": "baseline"}, "exploration": {"cap": 0, "floor": 0}}
    frame = Frame("loop", b"secret", read_config(msgspec.json.encode(config)), make({"kind": "baseline"}), "line@0")
    decision = decide(frame, request, msgspec.json.encode(request), decision_id="d", at=0)
    assert [slot.action for slot in decision.ranking] == ["c", "a", "b"]
    assert decision.propensities == [0, 0, 1]
    assert read_situation(decision).order().tolist() == [1, 2, 0]


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


def only(policy):
    """The regressions of a policy that has one family."""
    (family,) = policy.model.families.values()
    return family


class TestLinear:
    """The normal-inverse-gamma regression."""

    def one(self, kind: str = "linear_ucb", **settings: object):
        return make({"kind": kind, "prior_variance": 2.0, "arms": "disjoint", "memories": [1.0], **settings})

    def test_hand_checked(self) -> None:
        """Intercept only, prior variance 2, rewards 1 and 0: precision 1/2 + 2, so mean 1 / 2.5 and variance 0.4."""
        policy = self.one()
        alone = Situation({}, [Action("a")])
        policy.learn(alone, 0, 1.0, 1.0)
        policy.learn(alone, 0, 0.0, 1.0)
        assert_allclose(only(policy).mean[0, 1], [0.4])
        assert_allclose(only(policy).cov[0, 1], [[0.4]])
        # Inverse gamma: shape 1 + 2/2, rate 0.25 + (sum of squares 1 - mean * precision * mean 0.4) / 2.
        assert only(policy).noise()[0] == pytest.approx((0.25 + 0.3) / 2)

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
        assert_allclose(only(policy).mean[0, 1], mean, atol=1e-9)
        assert_allclose(only(policy).cov[0, 1], np.linalg.inv(precision), atol=1e-9)
        assert only(policy).noise_sums[1, 0, 1] == pytest.approx(y @ y - mean @ precision @ mean, rel=1e-9)

    def test_correction_is_as_if_the_reward_had_been_there(self) -> None:
        """Learning 0 and correcting it to 1 much later equals learning 1 at once."""
        told, corrected = self.one(), self.one()
        cases = [situation(np.random.default_rng(i)) for i in range(30)]
        for i, case in enumerate(cases):
            told.learn(case, i % 4, 1.0 if i == 3 else 0.5, 1.0)
            corrected.learn(case, i % 4, 0.0 if i == 3 else 0.5, 1.0)
        corrected.correct(cases[3], 3, 1.0, 0.0)
        assert_allclose(only(corrected).mean, only(told).mean, atol=1e-12)
        assert_allclose(only(corrected).cov, only(told).cov, atol=1e-12)
        assert only(corrected).noise_sums[1, 0] == pytest.approx(only(told).noise_sums[1, 0], abs=1e-12)

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
        mean, deviation = policy.model.scores(two)
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
        assert only(policy).cov.shape == (1, 1 + 3, 5, 5)
