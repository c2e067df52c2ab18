"""Invariant 1: the logged propensity is the probability that was sampled from. By hand and by simulation."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.decide import DecisionRequest, Frame, decide, sample
from bandit.policies import randomness
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import Action, Decision

SECRET = b"secret" * 6
CONTEXT = {"x": 1.0}
ACTIONS = [{"id": name} for name in "dbca"]


def taught(config: LoopConfig) -> Policy:
    """A policy that has seen a few rewards, so that its beliefs are neither flat nor settled."""
    policy = policy_type(config.policy).create(policy_config(config.policy))
    situation = Situation(CONTEXT, [Action(name) for name in "abcd"])
    for arm, reward in ((0, 1.0), (1, 0.7), (2, 0.9), (3, 0.2), (0, 0.6)):
        policy.learn(situation, arm, reward, 0.25)
    return policy


def frame(policy: dict[str, object] | None = None, instance: Policy | None = None, **parts: object) -> Frame:
    config = msgspec.convert({"policy": policy or {"kind": "linear_ts"}, **parts}, LoopConfig)
    return Frame("loop", SECRET, config, instance or taught(config), "line@5")


def ask(frame: Frame, decision_id: str = "d", actions=ACTIONS, **fields: object) -> Decision:
    body = msgspec.json.encode({"context": CONTEXT, "actions": actions, **fields})
    request = msgspec.json.decode(body, type=DecisionRequest)
    return decide(frame, request, body, decision_id=decision_id, at=0)


def reward_of(action: str) -> float:
    return {"a": 0.5, "b": 0.3, "c": 0.9, "d": 0.1}[action]


def test_sample_divides_the_unit_interval() -> None:
    """The index is the one whose share of [0, 1) has u in it; a probability of 0 is never chosen."""
    q = np.array([0.0, 0.25, 0.0, 0.75, 0.0])
    assert [sample(q, u) for u in (0.0, 0.2499, 0.25, 0.999999, math.nextafter(1, 0))] == [1, 1, 3, 3, 3]


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 0.1, 1.0]), min_size=1, max_size=9).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_sample_never_returns_the_impossible(weights: list[float], u: float) -> None:
    """Whatever the distribution and u, the index has a probability above 0."""
    q = np.array(weights) / sum(weights)
    assert q[sample(q, u)] > 0


def test_randomness_depends_on_all_that_identifies_it() -> None:
    """Another secret, decision, model version or slot gives other numbers; the same gives the same."""
    u = randomness.uniform(SECRET, "d", "l@1", 0)
    assert u == randomness.uniform(SECRET, "d", "l@1", 0)
    others = [(b"x", "d", "l@1", 0), (SECRET, "e", "l@1", 0), (SECRET, "d", "l@2", 0), (SECRET, "d", "l@1", 1)]
    assert len({u, *(randomness.uniform(*other) for other in others)}) == 5
    draws = [randomness.generator(SECRET, d, "l@1").random() for d in ("d", "d", "e")]
    assert draws[0] == draws[1] != draws[2]


def test_uniform_numbers_are_uniform() -> None:
    """20,000 numbers over 20 bins: chi-squared below its 1 - 1e-6 quantile for 19 degrees of freedom (69.9)."""
    u = [randomness.uniform(SECRET, str(i), "l@1", 0) for i in range(20_000)]
    counts, _ = np.histogram(u, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 69.9


def test_same_inputs_same_decision() -> None:
    """A decision is a pure function of its inputs, and the order of the request does not matter to it."""
    first = ask(frame())
    assert first == ask(frame())
    turned = ask(frame(), actions=ACTIONS[::-1])
    assert (turned.ranking, turned.propensities) == (first.ranking, first.propensities)


@pytest.mark.parametrize("kind", ["linear_ts", "linear_ucb", "uniform"])
def test_frequencies_agree_with_logged_propensities(kind: str) -> None:
    """Each action's frequency over 4,000 decision ids agrees with its mean logged propensity.

    |sum of (indicator - propensity)| < 5 standard deviations for each of 4 actions: false alarms below 3e-6 a test.
    """
    f = frame({"kind": kind}, exploration={"cap": 0.5, "floor": 0.1})
    served, expected, variance = np.zeros(4), np.zeros(4), np.zeros(4)
    for i in range(4000):
        d = ask(f, f"id {i}")
        q = np.array(d.propensities)
        served[d.actions.index(d.ranking[0].action)] += 1
        expected += q
        variance += q * (1 - q)
    assert (np.abs(served - expected) < 5 * np.sqrt(variance)).all()


def test_ips_recovers_the_uniform_policy() -> None:
    """From a Thompson Sampling log, IPS of the uniform policy is within 4.5 standard errors of its true value 0.45.

    False alarms: below 1e-5.
    """
    f = frame(exploration={"cap": 0.5, "floor": 0.2})
    terms = []
    for i in range(4000):
        slot = ask(f, f"id {i}").ranking[0]
        terms.append(0.25 / slot.propensity * reward_of(slot.action))
    error = np.std(terms) / math.sqrt(len(terms))
    assert abs(np.mean(terms) - 0.45) < 4.5 * error
    assert error < 0.02


def test_slate_frequencies_agree_with_slate_propensities() -> None:
    """Every ranking of 2 of 3 comes about as often as its product of conditional propensities says.

    6 rankings, 6,000 ids, 5 standard deviations: false alarms below 4e-6.
    """
    f = frame(exploration={"cap": 0.6, "floor": 0.3})
    seen: dict[tuple[str, str], float] = {}
    expected: dict[tuple[str, str], float] = {}
    for i in range(6000):
        d = ask(f, f"id {i}", top_n=2, actions=ACTIONS[:3])
        ranking = (d.ranking[0].action, d.ranking[1].action)
        seen[ranking] = seen.get(ranking, 0) + 1 / d.slate_propensity
        expected[ranking] = expected.get(ranking, 0) + 1
    # E[1{ranking} / p(ranking)] = 1 for each ranking, so each inverse-propensity count estimates the number of ids.
    for ranking, count in seen.items():
        spread = math.sqrt(6000 * (count / expected[ranking]))
        assert abs(count - 6000) < 5 * spread
    assert len(seen) == 6


def test_exploration_is_capped_and_logged() -> None:
    """The probability off the greedy action is at most the cap, each action has its floor, and both are on record."""
    d = ask(frame(exploration={"cap": 0.05, "floor": 0.04, "cold_start": None}))
    assert d.exploration <= 0.05 + 1e-12
    assert min(d.propensities) >= 0.01 - 1e-12
    assert d.trace


def test_explored_marks_the_slots_off_the_greedy_action() -> None:
    """Over many ids, the share of explored slots is the logged probability of exploring (5 standard deviations)."""
    f = frame(exploration={"cap": 0.3, "floor": 0.3})
    decisions = [ask(f, f"id {i}") for i in range(2000)]
    explored = sum(d.ranking[0].explored for d in decisions)
    mass = sum(d.exploration for d in decisions)
    assert abs(explored - mass) < 5 * math.sqrt(2000 * 0.3 * 0.7)


def test_kill_switches() -> None:
    """`greedy` serves the best mean, `baseline` the first eligible action of the request, both with probability 1."""
    greedy = ask(frame(exploration={"mode": "greedy"}))
    assert greedy.ranking[0].propensity == 1
    assert greedy.ranking[0].action == greedy.actions[int(np.argmax(greedy.predicted))]
    baseline = ask(frame(exploration={"mode": "baseline"}), exclude=["d"], top_n=3)
    assert [slot.action for slot in baseline.ranking] == ["b", "c", "a"]
    assert {slot.reason for slot in baseline.ranking} == {"mode baseline"}
    assert baseline.slate_propensity == 1


def test_excluded_actions_are_not_eligible() -> None:
    """An excluded action is neither served nor in the distribution; the ranking has what is left."""
    d = ask(frame(), exclude=["a", "nobody"], top_n=9)
    assert d.actions == ["b", "c", "d"]
    assert sorted(slot.action for slot in d.ranking) == ["b", "c", "d"]
    assert d.ranking[-1].propensity == 1


class Broken:
    """A policy that raises, or predicts what is not a number."""

    kind = "broken"

    def __init__(self, *, raises: bool) -> None:
        self.raises = raises

    def believe(self, situation, frozen):
        if self.raises:
            raise RuntimeError("out of order")
        return type("Nan", (), {"mean": np.full(len(situation.ids), np.nan)})()


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("kind", ["uniform", "baseline"])
def test_a_policy_that_fails_falls_back_with_a_logged_propensity(kind: str, *, raises: bool) -> None:
    """The fallback answers as a policy of its own, and says why."""
    d = ask(frame(instance=Broken(raises=raises), fallback={"kind": kind}))
    assert (d.component, d.policy) == ("fallback", kind)
    assert "out of order" in d.fallback if raises else "not finite" in d.fallback
    if kind == "uniform":
        assert d.propensities == [0.25] * 4
    else:
        assert d.propensities[d.actions.index("d")] == pytest.approx(0.9925)
    assert math.fsum(d.propensities) == pytest.approx(1)


def test_a_fallback_to_the_baseline_ranks_in_the_callers_order() -> None:
    """Each slot goes to the caller's first choice of what is left, not to any."""
    nothing_else = {"floor": 0.0, "cold_start": None}
    d = ask(frame(instance=Broken(raises=True), fallback={"kind": "baseline"}, exploration=nothing_else), top_n=4)
    assert [(slot.action, slot.propensity) for slot in d.ranking] == [(name, 1.0) for name in "dbca"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"actions": [{"id": "a"}, {"id": "a"}]}, "'a' stands twice"),
        ({"actions": []}, "0 actions"),
        ({"actions": [{"id": str(i)} for i in range(10_000)]}, "10000 actions"),
        ({"actions": [{"id": ""}]}, r"length >= 1.*actions\[0\]\.id"),
        ({"actions": [{"id": "x" * 257}]}, "length <= 256"),
        ({"exclude": ["a", "b", "c", "d"]}, "all 4 actions are excluded"),
        ({"actions": [{"id": "a", "features": {"x": None}}]}, "action 'a': 'x' is None"),
        ({"context": {"x": [1, "y"]}}, "context: 'x' contains 'y'"),
        ({"entities": {"user": ""}}, "entity 'user' is ''"),
        ({"entities": {"": "u"}}, "entity '' is 'u'"),
        ({"entities": {"user": "u" * 257}}, "1 to 256 characters"),
        ({"entities": {str(i): "u" for i in range(17)}}, "17 entities; at most 16"),
    ],
)
def test_bad_requests_are_refused(fields: dict[str, object], said: str) -> None:
    """Each broken rule is refused with the value and the way out."""
    body = msgspec.json.encode({"context": {}, "actions": ACTIONS, **fields})
    with pytest.raises((InvalidInput, msgspec.ValidationError), match=said):
        decide(frame(), msgspec.json.decode(body, type=DecisionRequest), body, decision_id="d", at=0)
