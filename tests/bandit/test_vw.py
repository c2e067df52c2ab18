"""Vowpal Wabbit's policies: what is whitelisted is sound, what is refused says why, and nothing poisons a model."""

import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

if sys.version_info >= (3, 13):
    pytest.skip("vowpal-wabbit-next has no wheel for this Python", allow_module_level=True)

import vowpal_wabbit_next as vw

from bandit.policies import vw_features
from bandit.policies.catalogue import policy_config
from bandit.policies.situation import Situation
from bandit.policies.vw import VowpalWabbit
from bandit.policies.vw_config import EXPLORERS, REFUSED, REFUSED_TYPES, VwConfig
from bandit.settings import read_config
from store.errors import InvalidInput
from store.records import Action

ARMS = np.arange(4)
explorers = pytest.mark.parametrize("explorer", list(EXPLORERS))


def frozen() -> np.random.Generator:
    return np.random.default_rng(1)


def situation(seed: int, size: float = 1.0) -> Situation:
    rng = np.random.default_rng(seed)
    x, *q = (rng.integers(1, 9, 5) * size).tolist()
    return Situation({"x": x, "who": f"u:{seed % 3}|v"}, [Action(f"a {k}", {"q": value}) for k, value in enumerate(q)])


def teach(policy: VowpalWabbit, rounds: int) -> None:
    for i in range(rounds):
        policy.learn(situation(i), i % 4, (i % 4) / 4, 0.25)


def pmf(policy: VowpalWabbit, asked: Situation) -> np.ndarray:
    return policy.believe(asked, frozen).distribution(np.arange(len(asked.ids)))


class TestConfig:
    """What can be set, and what is refused."""

    @pytest.mark.parametrize("name", list(REFUSED))
    def test_unsound_explorers_are_refused_with_the_reason(self, name: str) -> None:
        """Whoever asks for what is not sound reads why, and what to use instead."""
        with pytest.raises(InvalidInput, match=f"explorer '{name}' is refused: .*; use "):
            policy_config({"kind": "vw", "explorer": name})

    @pytest.mark.parametrize("name", list(REFUSED_TYPES))
    def test_unsound_estimates_are_refused_with_the_reason(self, name: str) -> None:
        """So it is with the ways of using propensities."""
        with pytest.raises(InvalidInput, match=f"cb_type '{name}' is refused: .*; use "):
            policy_config({"kind": "vw", "cb_type": name})

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"explorer": "best"}, "it must be one of squarecb, epsilon"),
            ({"cb_type": "best"}, "it must be one of mtr, ips, dr"),
            ({"explorer": "regcb", "cb_type": "ips"}, "regcb needs a regression"),
            ({"reward_range": [1, 0]}, "the lower first"),
            ({"explorer": "bag", "policies": 64, "bits": 22}, "2\\^24 weights"),
            ({"interactions": ["cx"]}, "interactions"),
        ],
    )
    def test_broken_rules_are_named(self, config: dict[str, object], said: str) -> None:
        """A setting outside its rule is refused with the rule, when the loop is put."""
        body = msgspec.json.encode({"policy": {"kind": "vw", **config}})
        with pytest.raises(InvalidInput, match=said):
            read_config(body)

    @explorers
    def test_vw_takes_the_command_line(self, explorer: str) -> None:
        """Each explorer's options are in the model that VW writes, with each way of using propensities it allows."""
        for cb_type in ("mtr", "ips", "dr"):
            try:
                config = VwConfig(explorer=explorer, cb_type=cb_type, interactions=("ca", "cca"))
            except InvalidInput:
                with pytest.raises(RuntimeError):  # VW refuses it too
                    vw.Workspace([*VwConfig(explorer=explorer).arguments(), "--cb_type", cb_type])
                continue
            model = VowpalWabbit.create(config)._workspace.serialize()
            assert f"--cb_type {cb_type}".encode() in model
            assert b"--interactions ca --interactions cca" in model
            assert b"--per_model_save_load" in model


class TestFeatures:
    """What is handed to VW."""

    def test_by_hand(self) -> None:
        """The id comes first with 1, zeros are left out, and what is too large for a product of three is clipped."""
        names, first = np.array([7, 8, 9], np.uint64), np.array([1, 2], np.uint64)
        made = vw_features.rows(first, names, np.array([[0.5, 0.0, -1e15], [1e-300, 2.0, 3.0]]))
        assert [(i.tolist(), v.tolist()) for i, v in made] == [
            ([1, 7, 9], [1.0, 0.5, -np.float32(1e12)]),
            ([2, 8, 9], [1.0, 2.0, 3.0]),
        ]

    @explorers
    def test_agrees_with_the_text_format(self, explorer: str) -> None:
        """Pushed numbers give VW's own answers on the same features as text, after learning the same.

        The numbers are integers: VW's text parser does not read most decimals exactly.
        """
        policy = VowpalWabbit.create(VwConfig(explorer=explorer))
        bare = vw.Workspace(policy.config.arguments())
        parse = vw.TextFormatParser(bare).parse_line

        def lines(asked: Situation) -> list[str]:
            who = next(name for name in asked.context if name != "x")
            escaped = who.replace(":", "%3a").replace("|", "%7c")
            context = f"shared |c x:{asked.context['x']:.0f} {escaped}:1"
            return [context, *(f"|a id=a%20{k} q:{f['q']:.0f}" for k, f in enumerate(asked.actions()))]

        for i in range(60):
            asked, arm = situation(i), i % 4
            policy.learn(asked, arm, arm % 2, 0.25)
            text = lines(asked)
            text[1 + arm] = f"0:{-(arm % 2)}:0.25 {text[1 + arm]}"
            bare.learn_one([parse(line) for line in text])
        policy._shuffled = lambda asked, draw: [0, 1, 2, 3]  # where ties go by place, by the same place
        for i in range(20):
            expected = np.zeros(4)
            for arm, p in bare.predict_one([parse(line) for line in lines(situation(i))]):
                expected[arm] = p
            assert_allclose(pmf(policy, situation(i)), expected / expected.sum(), rtol=1e-14)


class TestPoison:
    """No number that the service lets through may spoil a model."""

    @explorers
    @settings(max_examples=8)
    @given(
        reward=st.sampled_from([1.0, 1e12, 1e15]),
        size=st.sampled_from([1e-15, 1.0, 1e9, 1e14]),
        p=st.sampled_from([1e-300, 1e-9, 1.0]),
    )
    def test_extremes_leave_a_distribution(self, explorer: str, reward: float, size: float, p: float) -> None:
        """After 100 extreme outcomes, products of three features included, VW's answer is still a distribution."""
        policy = VowpalWabbit.create(VwConfig(explorer=explorer, interactions=("ca", "ccc", "cca", "caa")))
        for i in range(100):
            policy.learn(situation(i, size), i % 4, reward if i % 3 else -reward, p)
        for asked in (situation(3, size), situation(3)):
            q = pmf(policy, asked)
            assert abs(q.sum() - 1) < 1e-12
            assert q.min() >= 0

    @pytest.mark.parametrize("reward", [np.nan, np.inf, -1e16])
    def test_what_would_poison_is_not_learned(self, reward: float) -> None:
        """A reward that is not finite or beyond 1e15 is refused, and the state keeps its bytes."""
        policy = VowpalWabbit.create(VwConfig())
        teach(policy, 10)
        before = policy.dump()
        with pytest.raises(InvalidInput, match="rescale"):
            policy.learn(situation(0), 0, reward, 0.25)
        assert policy.dump() == before

    def test_a_poisoned_model_raises(self) -> None:
        """If VW ever answers NaN, here after infinite costs put straight into it, the policy raises."""
        policy = VowpalWabbit.create(VwConfig())
        lines = ["shared |c x:1", "0:inf:0.5 |a id=a%200:1", "|a id=a%201:1"]
        parse = vw.TextFormatParser(policy._workspace).parse_line
        for _ in range(3):
            policy._workspace.learn_one([parse(line) for line in lines])
        with pytest.raises(ArithmeticError, match="damaged"):
            pmf(policy, situation(0))

    @pytest.mark.parametrize("explorer", ["regcb", "regcbopt"])
    def test_rewards_outside_the_range_are_clipped_for_regcb(self, explorer: str) -> None:
        """Its bounds hold inside the declared range only: 7 is learned as 1, and -3 as 0."""
        outside, inside = (VowpalWabbit.create(VwConfig(explorer=explorer)) for _ in range(2))
        for i in range(40):
            outside.learn(situation(i), i % 4, 7.0 if i % 2 else -3.0, 0.25)
            inside.learn(situation(i), i % 4, float(i % 2), 0.25)
        assert outside.dump() == inside.dump()


class TestExplorers:
    """What the settings do."""

    def test_first_counts_outcomes_not_questions(self) -> None:
        """`first` is uniform until three outcomes are learned, however often it is asked; then greedy."""
        policy = VowpalWabbit.create(VwConfig(explorer="first", first=3))
        for i in range(3):
            assert [pmf(policy, situation(i)).tolist() for _ in range(5)] == [[0.25] * 4] * 5
            policy.learn(situation(i), 2, 1.0, 0.25)
        assert sorted(pmf(policy, situation(0))) == [0, 0, 0, 1]

    def test_epsilon_by_hand(self) -> None:
        """With epsilon 0.2 and four actions, the best has 0.85 and each other 0.05."""
        policy = VowpalWabbit.create(VwConfig(explorer="epsilon", epsilon=0.2))
        teach(policy, 200)
        assert_allclose(sorted(pmf(policy, situation(0))), [0.05, 0.05, 0.05, 0.85], atol=1e-6)

    def test_softmax_with_lambda_0_is_uniform(self) -> None:
        """Without a temperature, what was learned does not matter."""
        policy = VowpalWabbit.create(VwConfig(explorer="softmax", softmax_lambda=0.0))
        teach(policy, 100)
        assert_allclose(pmf(policy, situation(0)), 0.25, atol=1e-6)

    def test_large_action_spaces_keeps_few(self) -> None:
        """Of 60 actions, at most `max_actions` and the best keep a probability."""
        config = VwConfig(explorer="large_action_spaces", max_actions=3)
        policy = VowpalWabbit.create(config)
        rng = np.random.default_rng(0)
        many = Situation({"x": 1.0}, [Action(f"{k:02}", {"q": rng.normal(size=3).tolist()}) for k in range(60)])
        for arm in range(60):
            policy.learn(many, arm, 0.5, 1 / 60)
        assert 1 <= (pmf(policy, many) > 0).sum() <= 4

    @explorers
    def test_equal_learning_gives_equal_beliefs_in_any_workspace(self, explorer: str) -> None:
        """Two policies that learned the same, and one that was loaded, agree to the last bit in 40 situations."""
        policies = [VowpalWabbit.create(VwConfig(explorer=explorer, max_actions=3)) for _ in range(2)]
        for policy in policies:
            teach(policy, 30)
        policies.append(VowpalWabbit.load(policies[0].config, policies[0].dump()))
        for i in range(40):
            first, *others = (pmf(policy, situation(100 + i)).tolist() for policy in policies)
            assert others == [first, first]

    def test_ties_go_to_a_frozen_draw(self) -> None:
        """Optimistic RegCB gives one of the tied actions all; which one, the draw decides, the same draw the same one.

        Each of four is within 5 standard errors of 1/4 in 400 draws; false alarms are below 1e-5.
        """
        policy = VowpalWabbit.create(VwConfig(explorer="regcbopt"))
        alike = Situation({}, [Action(name) for name in "abcd"])
        drawn = [policy.believe(alike, lambda s=s: np.random.default_rng(s)).distribution(ARMS) for s in range(400)]
        assert {tuple(sorted(p)) for p in drawn} == {(0, 0, 0, 1)}
        assert abs(np.mean(drawn, axis=0) - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 400)
        assert pmf(policy, alike).tolist() == pmf(policy, alike).tolist()
