"""Replay and verification: stored states are the fold of the log, and stored decisions can be made again."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support import seeded_service
from typer.testing import CliRunner

from bandit.cli.main import app
from bandit.decide import DecisionRequest
from bandit.learn.replay import replay
from bandit.policies.catalogue import KINDS
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, read_config
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import SECOND
from store.registry import statefile
from store.registry.statefile import digest

Scenario = Callable[[Service, "Clock"], Awaitable[None]]
LEARNING = sorted(set(KINDS) - {"uniform", "fixed", "baseline"})
POLICIES = [{"kind": kind} for kind in LEARNING] + [{"kind": "fixed", "action": "b"}, {"kind": "uniform"}]


class Clock:
    """A clock that is moved by hand."""

    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


def run(store: Store, scenario: Scenario) -> None:
    """Run a scenario against a started service, and close it; the store stays open."""

    async def whole() -> None:
        clock = Clock()
        service = seeded_service(store, clock)
        await service.start()
        try:
            await scenario(service, clock)
        finally:
            await service.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


OFTEN = {"checkpoint": {"outcomes": 20}}


def config(policy: dict[str, object], **parts: object) -> LoopConfig:
    return msgspec.convert({"policy": policy, "reward": {"window_s": 300}, "learning": OFTEN, **parts}, LoopConfig)


async def interact(service: Service, clock: Clock, rounds: int, **fields: object) -> list[str]:
    """Decide; two in three get a reward, of which half after others' windows have begun; the rest expire."""
    ids, waiting = [], []
    for i in range(rounds):
        asked = {
            "context": {"x": i % 7 - 3, f"f{i // 15}": 1.0},
            "actions": [{"id": name, "features": {"q": (i * k) % 5}} for k, name in enumerate("abcd")],
            **fields,
        }
        body = msgspec.json.encode(asked)
        recorded = await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
        ids.append(recorded.decision.decision_id)
        if i % 3:
            waiting.append((ids[-1], float(recorded.decision.ranking[0].action in "ab")))
        while waiting and (i % 2 or len(waiting) > 5):
            decision_id, value = waiting.pop(0)
            await service.reward("loop", RewardRequest(decision_id, value))
        clock.now += 10 * SECOND
        await service._expire()
    position = service._store.log_position("loop")
    assert (await service.status("loop", position, 20)).learned_through == position
    return ids


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["kind"])
def test_every_kind_replays_bit_for_bit(policy: dict[str, object]) -> None:
    """Each stored state is the fold of the log, to the bit; decisions made again are the ones that were logged."""
    store = MemoryStore()
    if policy["kind"] == "vw" and sys.version_info >= (3, 13):
        raise AssertionError("vw is not among the kinds on this Python")

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config(policy), None)
        ids = await interact(service, clock, 60)
        for decision_id in ids[::7]:
            found = (await service.decision("loop", decision_id, verify=True)).verification
            assert (found.matches, found.difference, found.reason) == (True, 0.0, None)

    run(store, scenario)
    found = replay(store, "loop", config(policy), progress=lambda position: None)
    assert found.matches
    assert {each.verdict for each in found.checkpoints} == {"identical"}
    assert len(found.checkpoints) >= 3
    assert found.outcomes == store.log_position("loop") >= 40


GUARDED = {
    "guards": [{"kind": "diversity", "feature": "q", "max": 1}, {"kind": "protected_head", "slots": 1}],
    "exploration": {
        "ceiling": {"probability": 0.3, "outcomes": 5},
        "value_guard": {"max_loss": 0.4},
        "budget": {"share": 0.5, "window_s": 600},
        "conservative": {"alpha": 0.5},
    },
    "reward": {"window_s": 300, "range": [0, 1]},
}


@pytest.mark.parametrize("top_n", [1, 3])
def test_guarded_decisions_can_be_made_again(top_n: int) -> None:
    """With a ceiling, a value guard, a budget, the conservative gate and ranking guards, all is as it was logged."""
    store = MemoryStore()

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "linear_ts"}, **GUARDED), None)
        ids = await interact(service, clock, 40, top_n=top_n)
        await service.put_loop("loop", config({"kind": "linear_ucb"}), None)
        for decision_id in ids:
            found = (await service.decision("loop", decision_id, verify=True)).verification
            assert (found.matches, found.difference, found.reason) == (True, 0.0, None)

    run(store, scenario)


def test_a_decision_that_was_tampered_with_does_not_verify() -> None:
    """A propensity that is not what was sampled from, or another action served, is said."""
    store = MemoryStore()

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "linear_ts"}), None)
        ids = await interact(service, clock, 20)
        honest = store.decision("loop", ids[-1])
        key = "loop", honest.decision_id
        p = [honest.propensities[0] + 1e-3, *honest.propensities[1:-1], honest.propensities[-1] - 1e-3]
        for wrong, said in (
            ({"propensities": p}, "a probability differs by 0.001"),
            ({"ranking": [msgspec.structs.replace(honest.ranking[0], action="zz")]}, "would now be"),
            ({"model_version": "linear_ts-00000000@3"}, "no config that learns line"),
            ({"model_version": honest.model_version.split("@")[0] + "@9999"}, "outcomes, not 9999"),
            ({"revision": 77}, "made under revision 77"),
        ):
            store._state.decisions[key] = msgspec.structs.replace(honest, **wrong)
            found = (await service.decision("loop", honest.decision_id, verify=True)).verification
            assert not found.matches
            assert said in found.reason

    run(store, scenario)


def tampered(store: SqliteStore, position: int) -> None:
    """Replace what was learned at a position, as if the log and the states had parted there."""
    store._writer.execute("UPDATE outcomes SET value = value + 1 WHERE position = ?", (position,))


def test_a_state_that_is_not_the_fold_is_found(tmp_path: Path) -> None:
    """Where the log was changed behind the states' back, the replay names the first position that differs."""
    store = SqliteStore(tmp_path)

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "linear_ts"}, learning={**OFTEN, "delay": "wait"}), None)
        await interact(service, clock, 70)

    run(store, scenario)
    assert CliRunner().invoke(app, ["replay", "loop", "--verify", "--data", str(tmp_path)]).exit_code == 0
    tampered(store, 27)
    store.close()
    done = CliRunner().invoke(app, ["replay", "loop", "--verify", "--format", "json", "--data", str(tmp_path)])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert not found["matches"]
    assert found["after"] < 27 <= found["position"]
    assert [each["verdict"] for each in found["checkpoints"]][-2:] == ["identical", "differs"]
    assert 27 <= found["first_difference"] <= 29
    shown = CliRunner().invoke(app, ["replay", "loop", "--data", str(tmp_path)])
    assert shown.exit_code == 0
    assert "The stored states part from the log at" in shown.stdout


def test_a_changed_state_is_found(tmp_path: Path) -> None:
    """A checkpoint whose bytes and digest were both replaced is not the fold of the log."""
    store = SqliteStore(tmp_path)

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "beta_ts"}), None)
        await interact(service, clock, 30)

    run(store, scenario)
    newest = next(store.checkpoints("loop", replay_line(store)))
    state = newest.state[:-8] + bytes(8)
    changed = msgspec.structs.replace(newest, state=state, digest=digest(state))
    write(store, [lambda tx: tx.save_checkpoint(changed, keep=20)])
    found = replay(store, "loop", config({"kind": "beta_ts"}), progress=lambda position: None)
    assert not found.matches
    assert found.checkpoints[-1].verdict == "differs"
    store.close()


def replay_line(store: Store) -> str:
    from bandit.learn.checkpoints import line_name  # noqa: PLC0415  # here alone

    return line_name(read_config(store.loops()[0].config))


def _nudged(numbers: np.ndarray) -> np.ndarray:
    return np.nextafter(numbers, np.inf) if numbers.dtype.kind == "f" else numbers


def test_states_of_another_machine_agree_closely(tmp_path: Path) -> None:
    """Where the numerics are others, a state within 1e-9 is `close`, and the replay passes."""
    store = SqliteStore(tmp_path)

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "linear_ts"}), None)
        await interact(service, clock, 25)

    run(store, scenario)
    for stored in list(store.checkpoints("loop", replay_line(store))):
        header, numbers = statefile.unpack("linear_ts", stored.state)
        state = statefile.pack("linear_ts", header, {name: _nudged(x) for name, x in numbers.items()})
        other = msgspec.structs.replace(stored, state=state, digest=digest(state), fingerprint="elsewhere")
        write(store, [lambda tx, other=other: tx.save_checkpoint(other, keep=20)])
    found = replay(store, "loop", config({"kind": "linear_ts"}), progress=lambda position: None)
    assert found.matches
    assert {(each.verdict, each.same_numerics) for each in found.checkpoints} == {("close", False)}
    store.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["nobody"], "there is no loop 'nobody'"), (["loop", "--line", "linear_ts-x"], "no config that learns line")],
)
def test_what_cannot_be_replayed_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    """An unknown loop or line is named, with what there is."""
    store = SqliteStore(tmp_path)

    async def scenario(service: Service, clock: Clock) -> None:
        await service.put_loop("loop", config({"kind": "uniform"}), None)

    run(store, scenario)
    store.close()
    done = CliRunner().invoke(app, ["replay", *words, "--data", str(tmp_path)])
    assert said in str(done.exception)
