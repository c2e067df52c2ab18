"""The propensity audit over what the engine decides: silent where choices are drawn as logged, loud where they are not.

The statistical tests fix their seeds, so they always end alike; with other seeds a right audit would fail each of them
with the probability that it states.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
from scipy.stats import binom

from bandit import decide as decide_module
from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.settings import LoopConfig
from store.drift.propensity_audit import PropensityAudit
from store.records import Decision

NAMES = "abcdef"
CHANCES = dict(zip(NAMES, (0.2, 0.3, 0.4, 0.5, 0.55, 0.6), strict=True))
GUARDS = [
    {"kind": "pin", "slot": 1, "action": "c"},
    {"kind": "max_explored", "items": 1},
    {"kind": "minimum_exposure", "action": "a", "probability": 0.05},
]
SOFTMAX = {"kind": "softmax", "temperature": 0.2}
SETTINGS = {
    "softmax": {"policy": SOFTMAX, "exploration": {"cap": 0.8}},
    "thompson": {"policy": {"kind": "linear_ts"}, "exploration": {"cap": 0.3}},
    "guarded": {"policy": SOFTMAX, "exploration": {"cap": 0.5, "floor": 0.05}, "guards": GUARDS},
    "no floor": {"policy": {"kind": "linear_ts"}, "exploration": {"cap": 1, "floor": 0}},
}


def config_of(setting: str) -> LoopConfig:
    parts = msgspec.to_builtins(SETTINGS[setting])
    return msgspec.convert({**parts, "exploration": {"cold_start": None, **parts["exploration"]}}, LoopConfig)


def loop(config: LoopConfig, seed: int, *, top_n: int, switch: bool = False) -> Iterator[Decision]:
    """A loop that learns from a click on the first slot after each; every other hundred may be kill-switched."""
    rng = np.random.default_rng(seed)
    policy = policy_type(config.policy).create(policy_config(config.policy), decay=1.0)
    modes = [config, msgspec.convert({**msgspec.to_builtins(config), "exploration": {"mode": "greedy"}}, LoopConfig)]
    for i in itertools.count():
        body = {"context": {"x": float(rng.normal())}, "actions": [{"id": n} for n in NAMES], "top_n": top_n}
        request = msgspec.convert(body, DecisionRequest)
        frame = Frame("loop", bytes([seed % 256]) * 32, modes[switch and i // 100 % 2], policy, f"line@{i}", learned=i)
        made = decide(frame, request, b"", decision_id=f"{seed}-{i}", at=i)
        served = made.ranking[0]
        situation = Situation(request.context, request.eligible(), request.actions)
        reward = float(rng.random() < CHANCES[served.action])
        policy.learn(situation, NAMES.index(served.action), reward, served.propensity)
        yield made.placed(i + 1)


def first_alarm(decisions: Iterator[Decision], n: int) -> PropensityAudit:
    """The audit of n decisions, checked after each twenty, or up to its first alarm."""
    audit = PropensityAudit()
    while audit.decisions < n and not audit.alarms:
        audit.add(list(itertools.islice(decisions, 20)))
        audit.check()
    return audit


def argmax_from(slot: int) -> Callable[[np.ndarray, float], int]:
    """A sampler that serves the likeliest action from this slot of a ranking of three on, and draws above."""
    sample, slots = decide_module.sample, itertools.cycle(range(3))
    return lambda q, u: int(q.argmax()) if next(slots) >= slot else sample(q, u)


@pytest.mark.parametrize("runs", [2, pytest.param(25, marks=pytest.mark.deep)])
@pytest.mark.parametrize("setting", SETTINGS)
def test_argmax_under_a_logged_distribution_is_caught(setting: str, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a distribution is logged and its likeliest action served. Found within 3,000 decisions."""
    monkeypatch.setattr(decide_module, "sample", lambda q, u: int(q.argmax()))
    for seed in range(runs):
        audit = first_alarm(loop(config_of(setting), seed, top_n=1), 3000)
        assert audit.alarms != [], seed


@pytest.mark.parametrize("setting", ["softmax", "thompson"])
def test_argmax_in_lower_slots_alone_is_caught_there(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that spares the first slot alarms by a test of a lower one."""
    monkeypatch.setattr(decide_module, "sample", argmax_from(1))
    audit = first_alarm(loop(config_of(setting), 1, top_n=3), 3000)
    assert {alarm.slot for alarm in audit.alarms} <= {1, 2}
    assert audit.alarms != []


@pytest.mark.parametrize(("runs", "length"), [(24, 300), pytest.param(200, 2000, marks=pytest.mark.deep)])
def test_healthy_loops_seldom_alarm(runs: int, length: int) -> None:
    """At alpha 0.05, no more of the runs alarm than an exact binomial bound allows a rate of 0.05.

    Policies that learn, caps, floors, guards, pins, rankings and kill switches; looked at after each 50 decisions. The
    same bound holds for each test that is ever at 20, alone. A right audit fails with a probability of 0.001 at most.
    """
    most = binom.isf(0.001 / 20, runs, 0.05)
    alarms: Counter[object] = Counter()
    for seed, setting in zip(range(runs), itertools.cycle(SETTINGS), strict=False):
        audit = PropensityAudit(alpha=0.05)
        decisions = loop(config_of(setting), seed, top_n=1 + seed // 4 % 3, switch=seed % 3 == 0)
        ever: set[object] = set()
        for _ in range(length // 50):
            audit.add(list(itertools.islice(decisions, 50)))
            audit.check()
            ever |= {(f.test, f.slot, f.action) for f in audit.view() if f.e_value >= 20}
        alarms.update([*ever, *(["any"] if audit.alarms else [])])
    assert {key: count for key, count in alarms.items() if count > most} == {}


def test_kill_switch_serves_what_cannot_alarm() -> None:
    """A loop that only serves its greedy action has nothing drawn, nothing tested and no alarm."""
    config = msgspec.convert({"policy": SOFTMAX, "exploration": {"mode": "baseline"}}, LoopConfig)
    audit = PropensityAudit()
    audit.add(list(itertools.islice(loop(config, 1, top_n=3), 300)))
    audit.check()
    assert (audit.decisions, audit.forced, audit.view(), audit.alarms) == (300, 300, [], [])


def test_odds_are_those_of_each_lower_slot() -> None:
    """A decision logs, of each slot below the first, how many actions could stand there, and the least likely one."""
    [made] = itertools.islice(loop(config_of("softmax"), 1, top_n=4), 1)
    assert [odds.supported for odds in made.odds] == [5, 4, 3]
    for slot, odds in zip(made.ranking[1:], made.odds, strict=True):
        # All are alike before anything is learned: each has 1 / n, and all are greedy.
        assert slot.propensity == pytest.approx(1 / odds.supported)
        assert odds.least == pytest.approx(1 / odds.supported)
        assert odds.exploration == 0
