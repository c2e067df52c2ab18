"""The learner over a real ledger: what is learned at once and corrected ends where waiting for all of it ends."""

import functools

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bandit.decide import DecisionRequest, Frame, decide
from bandit.learn.learner import Learner, read_situation
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.settings import LoopConfig
from store.ledger.join import expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log.memory import MemoryStore
from store.ports import write
from store.records import SECOND, Decision, LoopRecord, Reward
from store.registry import statefile

DECAY = 0.9
WINDOW = 20 * SECOND


def policy(kind: str) -> Policy:
    return policy_type({"kind": kind}).create(policy_config({"kind": kind}), decay=DECAY)


def request(i: int) -> bytes:
    rng = np.random.default_rng(i)
    actions = [{"id": name, "features": {"q": float(rng.normal())}} for name in "abc"]
    return msgspec.json.encode({"context": {f"f{i // 10}": float(rng.normal())}, "actions": actions, "top_n": 2})


def made(i: int, rules: RewardRules) -> Decision:
    body = request(i)
    config = LoopConfig(policy={"kind": "uniform"}, reward=rules)
    frame = Frame("a", b"s" * 32, config, policy("uniform"), "line@0")
    return decide(frame, msgspec.json.decode(body, type=DecisionRequest), body, decision_id=str(i), at=i * SECOND)


def numbers(learned: Policy) -> dict[str, np.ndarray]:
    _, arrays = statefile.unpack(learned.kind, learned.dump())
    return {name: array for name, array in arrays.items() if name != "weights" and array.dtype.kind == "f"}


@pytest.mark.parametrize("kind", ["linear_ts", "squarecb", "beta_ts"])
def test_learning_at_once_ends_where_knowing_ends(kind: str) -> None:
    """Learning sixty rankings at once and correcting them leaves, to 1e-9, the state that knew their rewards at once.

    Slots are rewarded in and after their windows; each outcome leaves 0.9 of what was learned.
    """
    rules = RewardRules(window_s=20, default=0.25, aggregation="sum")
    store, rng = MemoryStore(), np.random.default_rng(5)
    secret = LoopRecord(name="a", config=b"{}", secret=b"s" * 32, revision=1, updated_at=0)
    write(store, [lambda tx: tx.put_loop(secret)])
    decisions = [made(i, rules) for i in range(60)]
    events = [(d.at, 0, d) for d in decisions]
    for d in decisions:
        for _ in range(int(rng.integers(0, 3))):
            at = d.at + int(rng.integers(1, 40)) * SECOND
            slot, value = int(rng.integers(2)), float(rng.random())
            reward = Reward(loop="a", decision_id=d.decision_id, value=value, slot=slot, received_at=at, occurred_at=at)
            events.append((at, 1, reward))
    for at, _, event in sorted(events, key=lambda entry: entry[:2]):
        write(store, [functools.partial(expire, now=at, rules_of=lambda loop: rules, limit=99)])
        if isinstance(event, Decision):
            operation = functools.partial(record_decision, decision=event, rules=rules, known_id=True, provisional=True)
        else:
            operation = functools.partial(record_reward, reward=event, rules=rules)
        write(store, [operation])
    write(store, [functools.partial(expire, now=200 * SECOND, rules_of=lambda loop: rules, limit=99)])
    kinds = {example.outcome.kind for example in store.examples("a", after=0, limit=999)}
    assert kinds == {"provisional", "rewarded", "expired", "corrected"}

    at_once = Learner("line", policy(kind), rules)
    at_once.fold(store.examples("a", after=0, limit=999))
    told = policy(kind)
    for d in decisions:
        got = store.rewards("a", d.decision_id)
        for slot, shown in enumerate(d.ranking):
            values = [reward.value for reward in got if reward.slot == slot]
            situation = read_situation(d)
            arm = situation.ids.index(shown.action)
            told.learn(situation, arm, sum(values) if values else 0.25, shown.propensity)
    assert at_once.settled == 60
    known = numbers(told)
    for name, array in numbers(at_once.policy).items():
        assert_allclose(array, known[name], atol=1e-9, err_msg=name)
