"""Kinds that cannot take back what they learned learn their log anew on a schedule, and so does every fold of it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import calm, seeded_service

from bandit.decide import DecisionRequest
from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, open_line
from bandit.learn.learner import Learner, read_situation
from bandit.learn.replay import replay
from bandit.policies.base import Entry
from bandit.service.service import Service
from bandit.service.serving import Serving
from bandit.service.status_views import StatusView, relearning_view
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, read_config
from store.errors import InvalidInput, NotStored
from store.log.archive.prune import Limit, prune
from store.log.archive.seal import reading, seal
from store.log.memory import MemoryStore
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store
from store.records import SECOND
from store.registry.statefile import digest

HOUR = 3600 * SECOND
WINDOW = 10 * SECOND
KINDS: list[dict[str, Any]] = [
    {"kind": "logistic_ts"},
    {"kind": "bootstrap_ts"},
    {"kind": "linear_ts", "hash_bits": 10},
    *([{"kind": "vw"}] if sys.version_info < (3, 13) else []),  # as in pyproject.toml
]
HOURLY = {"relearn_s": 3600, "checkpoint": {"outcomes": 10}}


class Clock:
    """A clock that moves when it is told to."""

    now = 1000 * HOUR + 1

    def __call__(self) -> int:
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


def run(scenario: Callable[[Service, Clock], Awaitable[None]], store: Store, clock: Clock | None = None) -> None:
    """Run a scenario against a started service, and close it."""

    async def whole() -> None:
        service = seeded_service(store, clock or Clock())
        await service.start()
        try:
            await scenario(service, service._clock)
        finally:
            await service.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def make(service: Service, policy: dict[str, Any], learning: dict[str, Any] | None = None) -> None:
    config = {"reward": {"window_s": 10}, "policy": policy, "learning": learning or HOURLY}
    await service.put_loop("loop", msgspec.convert(config, LoopConfig), None)


async def decide(service: Service, x: float) -> str:
    body = msgspec.json.encode({"context": {"x": x}, "actions": [{"id": "a"}, {"id": "b"}]})
    recorded = await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
    return recorded.decision.decision_id


async def reward(service: Service, decision_id: str, value: float = 1.0) -> None:
    await service.reward("loop", RewardRequest(decision_id, value))


async def learned(service: Service) -> StatusView:
    return await service.status("loop", service._store.log_position("loop"), 10)


async def expire(service: Service, clock: Clock) -> None:
    """Let all windows pass."""
    clock.now += WINDOW
    await service._expire()


async def a_late_world(service: Service, clock: Clock, hours: int) -> None:
    """Decisions of which all expire and most are rewarded later, some of them after the next full hour."""
    waiting: list[str] = []
    for hour in range(hours):
        ids = [await decide(service, (i % 5) / 5) for i in range(9)]
        await expire(service, clock)
        for decision_id in [*waiting, *ids[:3]]:
            await reward(service, decision_id)
        waiting = ids[3:6]
        await learned(service)
        clock.now += HOUR
        await calm(service)
        if hour % 2:
            await reward(service, await decide(service, 0.5), 0.0)  # the outcome behind which it learns anew
            await learned(service)


def advanced(store: Store, learner: Learner, through: int) -> Learner:
    while advance(store, "loop", learner, through=through, limit=4) is not None:
        pass
    assert learner.position == through
    return learner


@pytest.mark.parametrize("policy", KINDS, ids=lambda config: config["kind"])
def test_every_fold_comes_to_the_same_state(store: Store, policy: dict[str, Any]) -> None:
    """What serves is, bit for bit, the fold from the beginning and from each checkpoint, over several relearnings."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, policy)
        await a_late_world(service, clock, 6)
        runtime = service._loops["loop"]
        served, end = runtime.learner, store.log_position("loop")
        there = [r.position for r in store.relearnings("loop", served.line)]
        assert len(there) >= 3
        assert served.position == end > there[-1]
        state = digest(served.policy.dump())
        whole = begin_line(store, "loop", runtime.config)
        checkpoints = {c.position: c for c in store.checkpoints("loop", whole.line)}
        assert min(checkpoints) < there[0] < max(checkpoints)
        for position in sorted(checkpoints):
            advanced(store, whole, position)
            assert (digest(whole.policy.dump()), whole.settled) == (
                checkpoints[position].digest,
                checkpoints[position].settled,
            )
            again = whole.with_policy(type(whole.policy).load(whole.policy.config, checkpoints[position].state))
            assert digest(advanced(store, again, end).policy.dump()) == state
        assert digest(advanced(store, whole, end).policy.dump()) == state
        assert replay(store, "loop", runtime.config, progress=lambda position: None).matches
        for row in store.logged("loop", since=0, until=2**62, after=0, limit=99):
            found = await service.decision("loop", row.decision.decision_id, verify=True)
            assert found.verification.matches, found.verification

    run(scenario, store)
    store.close()


@pytest.mark.parametrize("policy", KINDS, ids=lambda config: config["kind"])
def test_learning_anew_is_having_known(store: Store, policy: dict[str, Any]) -> None:
    """Behind a relearning the state is that of learning each decision once, with what it earned in the end."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, policy)
        ids = [await decide(service, i / 5) for i in range(5)]
        await expire(service, clock)
        for decision_id in ids[:3]:
            await reward(service, decision_id)
        await learned(service)
        clock.now = 1001 * HOUR
        await calm(service)
        before = service._loops["loop"].learner.policy.dump()
        last = await decide(service, 0.9)
        await reward(service, last, 0.5)
        await learned(service)
        config = service._loops["loop"].config
        told = begin_line(MemoryStore(), "loop", config).policy
        corrected = open_line(MemoryStore(), "loop", config)
        corrected.fold(store.examples("loop", after=0, limit=99))
        by_id = {e.decision.decision_id: e.decision for e in store.examples("loop", after=0, limit=99)}
        for i, (decision_id, value) in enumerate(zip([*ids, last], [1.0, 1.0, 1.0, 0.0, 0.0, 0.5], strict=True)):
            d = by_id[decision_id]
            step = [1, 2, 3, 4, 5, 9][i] * 100  # three corrections stand between
            told.learn(read_situation(d), d.actions.index(d.served[0]), value, d.ranking[0].propensity, Entry(step))
        served = service._loops["loop"].learner.policy.dump()
        assert served == told.dump()
        assert served not in {before, corrected.policy.dump()}

    run(scenario, store)
    store.close()


def test_a_name_is_one_state(store: Store) -> None:
    """The state `line@position` is the same before and after the line is told to learn anew: that shows behind it."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        ids = [await decide(service, i / 5) for i in range(5)]
        await expire(service, clock)
        await reward(service, ids[0])
        before = await learned(service)
        state = service._loops["loop"].learner.policy.dump()
        clock.now = 1001 * HOUR
        await calm(service)
        after = await learned(service)
        [there] = store.relearnings("loop", service.loop("loop").line)
        assert (there.position, there.at) == (6, 1001 * HOUR)
        assert (after.model_version, after.relearning) == (before.model_version, None)
        assert service._loops["loop"].learner.policy.dump() == state

    run(scenario, store)
    store.close()


def test_decisions_go_on_while_it_learns_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made by the state before, whole; the status says how far learning anew has come."""
    step, seen = Serving.step, []

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        for i in range(40):
            await decide(service, i / 40)
        await expire(service, clock)
        await learned(service)
        runtime = service._loops["loop"]
        state = runtime.learner.policy.dump()

        def watched(self: Serving, store: Store, loop: str, through: int) -> bool:
            moved = step(self, store, loop, through)
            if moved and runtime.learner.position == 40:
                assert runtime.learner.policy.dump() == state
                shown = relearning_view(runtime.learner, None)
                seen.append(shown and shown.position)
            return moved

        monkeypatch.setattr(Serving, "step", watched)
        clock.now = 1001 * HOUR
        await calm(service)
        assert seen == [16, 32, None]
        assert runtime.learner.policy.dump() == state
        assert (await service.status("loop")).relearning is None
        await reward(service, await decide(service, 0.5))
        assert (await learned(service)).learned_through == 41
        assert len(seen) == 3
        assert runtime.learner.policy.dump() != state

    run(scenario, store)
    store.close()


def test_nothing_new_is_not_learned_anew(store: Store) -> None:
    """Nor twice in a period; and where no outcome came at all, it is done with the first one that comes."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        line = service.loop("loop").line
        clock.now += HOUR
        await calm(service)
        assert store.relearnings("loop", line) == []
        await decide(service, 0.5)
        await expire(service, clock)
        await learned(service)
        await calm(service)
        for _ in range(3):
            clock.now += HOUR
            await calm(service)
        assert [r.position for r in store.relearnings("loop", line)] == [1]
        for i in range(4):
            await reward(service, await decide(service, i / 4))
            await learned(service)
            await calm(service)
        # Three hours had passed without an outcome: it is late for the first of these, and in time for the others.
        assert [r.position for r in store.relearnings("loop", line)] == [1, 2]

    run(scenario, store)
    store.close()


def test_it_is_on_disk_before_it_acts(store: Store) -> None:
    """While it cannot be written nothing is learned anew, and learning goes on; a second later it is tried again."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        ids = [await decide(service, i / 5) for i in range(5)]
        await expire(service, clock)
        await reward(service, ids[0])
        await learned(service)
        runtime, submit = service._loops["loop"], service._commit.submit

        async def refuse(operation: object) -> None:
            raise NotStored("the disk is full")

        runtime._commit = type("Full", (), {"submit": staticmethod(refuse)})
        clock.now = 1001 * HOUR
        await calm(service)
        assert runtime.learner.relearnings == {}
        await reward(service, ids[1])
        assert (await learned(service)).learned_through == 7
        runtime._commit = type("Free", (), {"submit": staticmethod(submit)})
        clock.now += SECOND
        await calm(service)
        assert runtime.learner.relearnings == {7: 0}

    run(scenario, store)
    store.close()


def test_a_restart_learns_anew_where_it_was_due(tmp_path: Path) -> None:
    """Stopped between being told and the next outcome, or in the middle, it comes to the same state."""
    clock, states = Clock(), []

    async def first(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        ids = [await decide(service, i / 5) for i in range(5)]
        await expire(service, clock)
        await reward(service, ids[0])
        await learned(service)
        clock.now = 1001 * HOUR
        await calm(service)
        assert service._loops["loop"].learner.relearnings == {6: 0}
        states.append(service._loops["loop"].learner.policy.dump())

    async def second(service: Service, clock: Clock) -> None:
        assert service._loops["loop"].learner.policy.dump() == states[0]
        await reward(service, await decide(service, 0.9))
        await learned(service)
        states.append(service._loops["loop"].learner.policy.dump())

    for scenario in (first, second):
        store = SqliteStore(tmp_path)
        run(scenario, store, clock)
        store.close()
    store = SqliteStore(tmp_path, read_only=True)
    config = read_config(store.loops()[0].config)
    assert advanced(store, begin_line(store, "loop", config), 7).policy.dump() == states[1]
    plain = open_line(MemoryStore(), "loop", config)
    plain.fold(store.examples("loop", after=0, limit=99))
    assert plain.policy.dump() != states[1]
    store.close()


def test_in_batches_it_shows_with_the_next_cut(store: Store) -> None:
    """A line that moves in cuts learns anew with the cut that follows, behind what serves."""
    learning = {"mode": "micro_batch", "batch": {"outcomes": 4}, "relearn_s": 3600}

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0], learning)
        ids = [await decide(service, i / 5) for i in range(5)]
        for decision_id in ids[:3]:
            await reward(service, decision_id, 0.0)
        await expire(service, clock)
        cut = (await service.status("loop", 4, 5)).learned_through
        clock.now = 1001 * HOUR
        await calm(service)
        runtime = service._loops["loop"]
        assert runtime.learner.relearnings == {cut: 0}
        for i in range(4):
            await reward(service, await decide(service, i / 4))
        seen = await service.status("loop", cut + 1, 5)
        assert seen.learned_through == seen.checkpoint > cut
        whole = begin_line(store, "loop", runtime.config)
        assert advanced(store, whole, seen.learned_through).policy.dump() == runtime.learner.policy.dump()

    run(scenario, store)
    store.close()


def test_a_fold_does_not_pass_a_relearning_by() -> None:
    """Folding on without learning anew is refused, for it would come to another state."""
    store = MemoryStore()

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        for i in range(3):
            await reward(service, await decide(service, i / 3))
        await learned(service)
        clock.now = 1001 * HOUR
        await calm(service)
        await reward(service, await decide(service, 0.9))
        await learned(service)
        learner = begin_line(store, "loop", service._loops["loop"].config)
        assert learner.relearnings == {3: 0}
        with pytest.raises(ValueError, match="@3 is to be learned anew before it goes on: use `advance`"):
            learner.fold(store.examples("loop", after=0, limit=9))
        assert learner.position == 3

    run(scenario, store)


@pytest.mark.parametrize("kind", ["linear_ts", "linear_ucb", "beta_ts", "squarecb", "uniform"])
def test_it_is_refused_where_it_would_change_nothing(kind: str) -> None:
    """Kinds that correct exactly have nothing to learn anew; the message says so."""
    with pytest.raises(InvalidInput, match=rf"learning.relearn_s is 3600\.0, but '{kind}' corrects exactly"):
        read_config(msgspec.json.encode({"policy": {"kind": kind}, "learning": {"relearn_s": 3600}}))


def test_what_was_pruned_is_learned_anew_from_the_archive(tmp_path: Path) -> None:
    """Decisions and outcomes that left the log's file for the archive are in the fold all the same, to the bit."""
    states = []

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, KINDS[0])
        await a_late_world(service, clock, 4)
        states.append(service._loops["loop"].learner.policy.dump())

    store = SqliteStore(tmp_path)
    run(scenario, store)
    store.close()
    with reading(tmp_path / FILE_NAME) as connection:
        assert seal(tmp_path, connection, lambda: 2000 * HOUR)
    with closing(connect(tmp_path / FILE_NAME)) as connection:
        everything = Limit(due_before=2000 * HOUR, checkpoint=10**6)
        assert prune(tmp_path, connection, {"loop": everything})["loop"] > 20
    store = SqliteStore(tmp_path)
    config = read_config(store.loops()[0].config)
    learner = begin_line(store, "loop", config)
    assert learner.relearnings
    assert advanced(store, learner, store.log_position("loop")).policy.dump() == states[0]
    assert replay(store, "loop", config, progress=lambda position: None).matches
    store.close()
