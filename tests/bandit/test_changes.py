"""What a new config changes: the diff is complete and right, and a line that learns anew does not disturb serving."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import seeded_service

from bandit.decide import DecisionRequest
from bandit.learn.checkpoints import line_name, open_line
from bandit.service import serving
from bandit.service.changes import EFFECTS, changes_between
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, as_stored
from store.errors import Conflict
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store

BODY = b'{"context":{"x":1},"actions":[{"id":"a"},{"id":"b"}]}'
REQUEST = msgspec.json.decode(BODY, type=DecisionRequest)
UCB = {"kind": "linear_ucb"}


def config(**parts: object) -> LoopConfig:
    return as_stored(msgspec.convert(parts, LoopConfig))


def keys(struct: Any, prefix: str = "") -> Iterator[str]:
    """Each key of a config that does not hold keys itself."""
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_every_key_has_an_effect() -> None:
    """The table of effects names each key of a config, in the order of the config, and nothing else."""
    assert list(EFFECTS) == list(keys(LoopConfig))


def effects(before: LoopConfig, after: LoopConfig) -> dict[str, tuple[object, object, str]]:
    return {c.key: (c.before, c.after, c.effect) for c in changes_between(before, after)}


def test_changes_by_hand() -> None:
    """A change is named with both values and its effect; what null comes to counts, not how it was written."""
    assert effects(config(), config()) == {}
    assert effects(config(), config(exploration={"mode": "greedy"}, reward={"default": -1})) == {
        "reward.default": (0.0, -1.0, "new_outcomes"),
        "exploration.mode": ("on", "greedy", "next_decision"),
    }
    assert effects(config(), config(learning={"decay": 1, "delay": "provisional"})) == {}
    assert effects(config(), config(learning={"decay": 0.9})) == {"learning.decay": (1.0, 0.9, "new_line")}
    assert effects(config(), config(reward={"window_s": 5})) == {
        "reward.window_s": (600.0, 5.0, "next_decision"),
        "learning.delay": ("provisional", "wait", "next_decision"),
    }


def test_another_kind_lists_its_settings() -> None:
    """Settings that only one of the kinds has are null on the other side."""
    found = effects(config(policy={"kind": "uniform"}), config(policy={"kind": "fixed", "action": "a"}))
    assert found == {"policy.kind": ("uniform", "fixed", "new_line"), "policy.action": (None, "a", "new_line")}


POLICIES = [
    {"kind": "linear_ts"},
    {"kind": "linear_ts", "scale": 2},
    {"kind": "linear_ts", "memories": [0.9]},
    {"kind": "linear_ucb"},
    {"kind": "uniform"},
    {"kind": "fixed", "action": "a"},
]
COMPONENTS = [
    None,
    {"parts": {"p": {}, "q": {}}, "formula": "p + q"},
    {"parts": {"q": {}, "p": {}}, "formula": "p + q"},
    {"parts": {"p": {"default": 0.0}, "q": {}}, "formula": "p - q"},
    {"parts": {"p": {"default": -0.0}, "q": {}}, "formula": "p - q"},
    {"parts": {"p": {"range": [0, 1]}, "q": {"aggregation": "sum"}}, "formula": "p - q"},
]
configs = st.builds(
    config,
    policy=st.sampled_from(POLICIES),
    reward=st.fixed_dictionaries(
        {},
        optional={
            "window_s": st.sampled_from([5, 600]),
            "aggregation": st.sampled_from(["first", "sum"]),
            "range": st.sampled_from([None, [-1, 1]]),
            "late": st.sampled_from(["log", "correct"]),
            "credit": st.sampled_from(["slot", "all", "cascade"]),
            "components": st.sampled_from(COMPONENTS),
        },
    ),
    exploration=st.fixed_dictionaries({}, optional={"cap": st.sampled_from([0.1, 0.3]), "cold_start": st.none()}),
    guards=st.sampled_from([[], [{"kind": "pin", "slot": 0, "action": "a"}]]),
    learning=st.fixed_dictionaries(
        {},
        optional={
            "delay": st.sampled_from([None, "wait"]),
            "checkpoint": st.sampled_from([{}, {"outcomes": 50}]),
        },
    ),
    fallback=st.sampled_from([{}, {"kind": "baseline"}]),
)


@given(configs, configs)
def test_a_new_line_is_announced_exactly_when_the_line_changes(before: LoopConfig, after: LoopConfig) -> None:
    """Some change says `new_line` if and only if the name of the line is another one."""
    announced = any(change.effect == "new_line" for change in changes_between(before, after))
    assert announced == (line_name(before) != line_name(after))


@pytest.mark.parametrize("decay", [None, 1, 0.99, 0.5])
@pytest.mark.parametrize("other", [None, 1, 0.99])
def test_a_new_line_is_announced_for_decay(decay: float | None, other: float | None) -> None:
    """No decay and a decay of 1 are the same line; others are not."""
    before, after = (config(learning={"decay": value}) for value in (decay, other))
    announced = any(change.effect == "new_line" for change in changes_between(before, after))
    assert announced == (line_name(before) != line_name(after)) == ((decay or 1) != (other or 1))


@given(configs, configs)
def test_applying_the_changes_is_all_there_is(before: LoopConfig, after: LoopConfig) -> None:
    """Two configs without a change between them behave the same: they are equal but for how null is written."""
    if changes_between(before, after):
        assert before != after
    else:
        meant = [msgspec.to_builtins(each) for each in (before, after)]
        for each in meant:
            each["learning"].pop("delay")
        assert meant[0] == meant[1]


# A line that learns anew


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


def run(scenario: Callable[[Service], Awaitable[None]], store: Store) -> None:
    """Run a scenario against a started service, and close it."""

    async def whole() -> None:
        service = seeded_service(store, lambda: 1_000_000_000)
        await service.start()
        try:
            await scenario(service)
        finally:
            await service.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def make(service: Service, **parts: object) -> None:
    await service.put_loop("loop", config(**{"reward": {"window_s": 10}, **parts}), None)


async def decide(service: Service) -> str:
    return (await service.decide("loop", REQUEST, BODY)).decision.model_version


async def interact(service: Service, rewards: list[float]) -> None:
    for value in rewards:
        decision = (await service.decide("loop", REQUEST, BODY)).decision
        await service.reward("loop", RewardRequest(decision.decision_id, value))
    await service.status("loop", service._store.log_position("loop"), 5)


def test_a_dry_run_changes_nothing(store: Store) -> None:
    """It answers with the changes and the line that would open, checks `If-Match`, and leaves the loop as it was."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0, 1.0])
        before = service.loop("loop")
        found = service.changes("loop", config(reward={"window_s": 10}, policy=UCB), 1)
        assert (found.new, found.opens.position, found.opens.outcomes) == (False, 0, 3)
        assert {change.key: change.effect for change in found.changes}["policy.kind"] == "new_line"
        with pytest.raises(Conflict):
            service.changes("loop", config(), 7)
        assert service.loop("loop") == before
        assert (await service.status("loop")).relearning is None
        same = service.changes("loop", config(reward={"window_s": 10}), None)
        assert (same.changes, same.opens) == ([], None)
        await make(service, policy=UCB)
        assert service.loop("loop").line == found.opens.line
        await service.status("loop", 3, 5)
        back = service.changes("loop", config(reward={"window_s": 10}), None)
        assert back.opens.line == before.line

    run(scenario, store)


def test_a_dry_run_of_a_new_loop(store: Store) -> None:
    """A loop that is not there has nothing to change; its line would begin at 0."""

    async def scenario(service: Service) -> None:
        found = service.changes("other", config(), None)
        assert (found.new, found.changes, found.opens.outcomes) == (True, [], 0)
        assert found.opens.line == line_name(config())
        assert service.loops() == []

    run(scenario, store)


def test_the_old_line_serves_until_the_new_one_has_learned_the_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions are made by the old line's last state or the new line's, which has the whole log; nothing between."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 100)
        old = await decide(service)
        monkeypatch.setattr(serving, "SLICE", 0)  # it learns nothing until it is let go
        await make(service, policy=UCB)
        new = service.loop("loop").line
        made = (await service.decide("loop", REQUEST, BODY)).decision
        seen = [made.model_version]
        status = await service.status("loop")
        assert (status.relearning.line, status.relearning.position) == (new, 0)
        assert (status.learned_through, status.model_version) == (200, old)
        monkeypatch.setattr(serving, "SLICE", 16)
        while seen[-1] == old:
            seen.append(await decide(service))
        assert set(seen) == {old, f"{new}@200"}
        assert (await service.status("loop")).relearning is None
        # What the old line decided under the new config can be made again.
        assert (await service.decision("loop", made.decision_id, verify=True)).verification.matches

    run(scenario, store)


def test_waiting_for_a_position_waits_for_the_line_of_the_config(store: Store) -> None:
    """`learned_through` is reached when the new line serves with it, not because the old line had it."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 50)
        await make(service, policy=UCB)
        status = await service.status("loop", 100, 5)
        assert status.model_version == f"{service.loop('loop').line}@100"

    run(scenario, store)


def test_the_new_line_takes_what_comes_while_it_learns(store: Store) -> None:
    """Outcomes that are written meanwhile are learned too, bit for bit as the fold of the whole log."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 60)
        await make(service, policy=UCB)
        for value in (1.0, 0.5, 0.0):
            decision = (await service.decide("loop", REQUEST, BODY)).decision
            await service.reward("loop", RewardRequest(decision.decision_id, value))
        await service.status("loop", 123, 5)
        runtime = service._loops["loop"]
        whole = open_line(MemoryStore(), "loop", runtime.config)
        whole.fold(store.examples("loop", after=0, limit=999))
        assert (runtime.learner.position, runtime.learner.settled) == (123, 123)
        assert runtime.learner.policy.dump() == whole.policy.dump()

    run(scenario, store)


def test_a_change_of_mind_goes_back_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back to the line that still serves: the one that was learning is dropped, nothing else happened."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 50)
        learner = service._loops["loop"].learner
        monkeypatch.setattr(serving, "SLICE", 0)
        await make(service, policy=UCB)
        assert (await service.status("loop")).relearning is not None
        await make(service)
        monkeypatch.setattr(serving, "SLICE", 16)
        assert (await service.status("loop")).relearning is None
        await interact(service, [1.0])
        assert service._loops["loop"].learner is learner
        assert learner.position == 101

    run(scenario, store)


def test_another_change_meanwhile_does_not_begin_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PUT that keeps the new line keeps what it has learned so far; its other keys hold at once."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 50)
        await make(service, policy=UCB)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        monkeypatch.setattr(serving, "SLICE", 0)
        position = (await service.status("loop")).relearning.position
        assert position > 0
        await make(service, policy=UCB, exploration={"mode": "greedy"})
        assert (await service.status("loop")).relearning.position == position
        assert (await service.decide("loop", REQUEST, BODY)).decision.ranking[0].reason == "mode greedy"
        monkeypatch.setattr(serving, "SLICE", 16)
        assert (await service.status("loop", 100, 5)).learned_through == 100

    run(scenario, store)


def test_an_empty_log_needs_no_catching_up(store: Store) -> None:
    """Where there is nothing to learn, the next decision is the new policy's."""

    async def scenario(service: Service) -> None:
        await make(service)
        await make(service, policy=UCB)
        assert await decide(service) == f"{service.loop('loop').line}@0"

    run(scenario, store)


def test_a_new_line_that_cannot_learn_leaves_the_old_one_serving(store: Store) -> None:
    """The status names the new line and why; a change of mind clears it, and learning goes on."""

    async def scenario(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 10)
        old = await decide(service)
        await make(service, policy=UCB)

        def refuse(*anything: object) -> None:
            raise RuntimeError("out of order")

        service._loops["loop"]._next.learner.policy.learn = refuse
        status = await service.status("loop", 20, 5)
        assert status.learning_error.startswith(f"{service.loop('loop').line}@0 cannot learn")
        assert await decide(service) == old
        await make(service)
        assert (await service.status("loop")).learning_error is None
        await interact(service, [1.0])
        assert (await service.status("loop")).learned_through == 21

    run(scenario, store)


def test_guards_go_on_counting_over_a_change_of_line(store: Store) -> None:
    """On another line a known action does not become new again, nor the cap wide: counting goes on."""
    ceiling = {"ceiling": {"probability": 0.5, "outcomes": 10}, "cold_start": {"outcomes": 40, "cap": 1.0}}

    async def scenario(service: Service) -> None:
        await make(service, exploration=ceiling)
        await interact(service, [1.0, 0.0] * 30)
        before = (await service.status("loop")).exploration
        assert (before.ceiling.established >= 1, before.cap) == (True, 0.2)
        await make(service, exploration=ceiling, policy=UCB)
        during = (await service.status("loop")).exploration
        after = (await service.status("loop", 60, 5)).exploration
        assert during.ceiling == after.ceiling == before.ceiling
        assert during.cap == after.cap == 0.2
        assert service._loops["loop"].history.learned.position == 60

    run(scenario, store)


def test_a_stop_while_a_line_learns_loses_nothing(tmp_path: Path) -> None:
    """After a restart the new line has the whole log before the server is ready, from where its checkpoint stands."""

    async def first(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 100)
        await make(service, policy=UCB)
        await decide(service)

    async def second(service: Service) -> None:
        status = await service.status("loop")
        assert status.model_version == f"{service.loop('loop').line}@200"
        assert status.model_version.startswith("linear_ucb")

    for scenario in (first, second):
        store = SqliteStore(tmp_path)
        run(scenario, store)
        store.close()


def test_a_new_line_in_a_batch_mode_is_a_cut(tmp_path: Path) -> None:
    """Another policy is brought up to the log at once, stored, and serves; a restart serves no less than that."""
    hourly = {"mode": "scheduled", "batch": {"every_s": 3600}}

    async def first(service: Service) -> None:
        await make(service)
        await interact(service, [1.0, 0.0] * 20)
        await make(service, learning=hourly)
        await make(service, learning=hourly, policy=UCB)
        status = await service.status("loop", 40, 5)
        assert (status.model_version, status.checkpoint) == (f"{service.loop('loop').line}@40", 40)

    async def second(service: Service) -> None:
        assert (await service.status("loop")).learned_through == 40
        # Of the line from before there is a checkpoint at 40, too; this one has none at all.
        await make(service, learning=hourly, policy={"kind": "linear_ucb", "alpha": 3})

    async def third(service: Service) -> None:
        assert (await service.status("loop")).model_version == f"{service.loop('loop').line}@40"

    for scenario in (first, second, third):
        store = SqliteStore(tmp_path)
        run(scenario, store)
        store.close()
