"""The service over both stores: it learns from the durable log, in order, and goes on where it stopped."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from support import calm, seeded_service

from bandit.decide import DecisionRequest
from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, checkpoint_of, open_line
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from store.errors import Conflict, InvalidInput, NotFound
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store
from store.records import SECOND

BODY = b'{"context":{"x":1},"actions":[{"id":"a"},{"id":"b"}]}'
REQUEST = msgspec.json.decode(BODY, type=DecisionRequest)


class Clock:
    """A clock that moves when it is told to."""

    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


def run(scenario: Callable[[Service, Clock], Awaitable[None]], store: Store) -> None:
    """Run a scenario against a started service, and close it."""

    async def whole() -> None:
        clock = Clock()
        service = seeded_service(store, clock)
        await service.start()
        try:
            await scenario(service, clock)
        finally:
            await service.close()

    try:
        asyncio.run(asyncio.wait_for(whole(), 20))
    finally:
        store.close()


async def make(service: Service, name: str = "loop", **parts: object) -> None:
    await service.put_loop(name, msgspec.convert({"reward": {"window_s": 10}, **parts}, LoopConfig), None)


async def interact(service: Service, rewards: list[float]) -> list[str]:
    """Decide and reward one after the other; returns the decision ids."""
    ids = []
    for value in rewards:
        recorded = await service.decide("loop", REQUEST, BODY)
        ids.append(recorded.decision.decision_id)
        await service.reward("loop", RewardRequest(ids[-1], value))
    return ids


async def learned(service: Service) -> int:
    status = await service.status("loop")
    status = await service.status("loop", status.log_position, 5)
    assert status.learning_error is None
    return status.learned_through


def test_rewards_are_learned(store: Store) -> None:
    """A reward becomes an outcome, and the model's version follows it."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0, 1.0])
        assert await learned(service) == 3
        recorded = await service.decide("loop", REQUEST, BODY)
        assert recorded.decision.model_version.endswith("@3")
        assert max(recorded.decision.predicted) > 0

    run(scenario, store)


def test_windows_expire_on_the_injected_clock(store: Store) -> None:
    """When the clock passes the window, the default reward is learned."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await service.decide("loop", REQUEST, BODY)
        await calm(service)
        assert (await service.status("loop")).outcomes["expired"] == 0
        clock.now += 10 * SECOND
        await calm(service)
        assert (await service.status("loop")).outcomes["expired"] == 1
        assert await learned(service) == 1

    run(scenario, store)


def test_early_rewards_are_joined_and_given_up(store: Store) -> None:
    """A reward may come first; after a window without its decision it is dropped and counted."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        assert (await service.reward("loop", RewardRequest("mine", 1.0))).early
        body = BODY.replace(b"{", b'{"decision_id":"mine",', 1)
        await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
        assert await learned(service) == 1
        await service.reward("loop", RewardRequest("nobody's", 1.0))
        clock.now += 10 * SECOND
        await calm(service)
        counts = (await service.status("loop")).reward_counts
        assert (counts.early, counts.waiting, counts.dropped) == (2, 0, 1)

    run(scenario, store)


def test_restart_between_append_and_learn(tmp_path: Path) -> None:
    """Outcomes that were appended but never learned are learned at the next start, to the same bits."""
    store = SqliteStore(tmp_path)
    config = LoopConfig()
    learners = []

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0, 1.0, 1.0])
        await learned(service)
        runtime = service._loops["loop"]
        runtime._task.cancel()  # the process dies here: what follows is appended and not learned
        await interact(service, [0.0, 1.0])
        assert (await service.status("loop")).learned_through == 4

    async def second(service: Service, clock: Clock) -> None:
        assert (await service.status("loop")).learned_through == 6
        learners.append(service._loops["loop"].learner)

    run(first, store)
    run(second, SqliteStore(tmp_path))
    fresh = SqliteStore(tmp_path)
    whole = open_line(MemoryStore(), "loop", config)
    whole.fold(fresh.examples("loop", after=0, limit=99))
    assert learners[0].policy.dump() == whole.policy.dump()
    fresh.close()


def test_restart_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    """Checkpoints are written on the way and at the end; a start folds only what follows the newest."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service, learning={"checkpoint": {"outcomes": 10}})
        await interact(service, [1.0, 0.0] * 12)
        await learned(service)
        assert (await service.status("loop")).checkpoint >= 10

    async def second(service: Service, clock: Clock) -> None:
        status = await service.status("loop")
        assert (status.checkpoint, status.learned_through) == (24, 24)
        await interact(service, [1.0])
        assert await learned(service) == 25

    run(first, SqliteStore(tmp_path))
    run(second, SqliteStore(tmp_path))


def test_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """A checkpoint whose digest does not match is skipped; the log makes up for it."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0])
        await learned(service)

    store = SqliteStore(tmp_path)
    run(first, store)
    store = SqliteStore(tmp_path)
    store._writer.execute("UPDATE checkpoints SET state = zeroblob(9)")

    async def second(service: Service, clock: Clock) -> None:
        status = await service.status("loop")
        assert (status.checkpoint, status.learned_through) == (None, 2)

    run(second, store)


def test_downtime_is_caught_up_at_start(tmp_path: Path) -> None:
    """What fell due while nobody served is closed before the service is ready."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        for _ in range(3):
            await service.decide("loop", REQUEST, BODY)

    async def later() -> None:
        clock = Clock()
        clock.now += 3600 * SECOND
        store = SqliteStore(tmp_path)
        service = seeded_service(store, clock)
        await service.start()
        status = await service.status("loop")
        assert (status.outcomes["expired"], status.learned_through) == (3, 3)
        await service.close()
        store.close()

    run(first, SqliteStore(tmp_path))
    asyncio.run(later())


def test_another_policy_learns_the_log_anew(store: Store) -> None:
    """A new policy opens a line that folds the whole log; going back finds the old line where it was."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0, 1.0])
        assert await learned(service) == 3
        before = (await service.status("loop")).model_version
        await make(service, policy={"kind": "linear_ucb"})
        assert await learned(service) == 3
        assert (await service.status("loop")).model_version.startswith("linear_ucb-")
        await make(service)
        assert await learned(service) == 3
        assert (await service.status("loop")).model_version == before

    run(scenario, store)


def test_other_changes_keep_what_was_learned(store: Store) -> None:
    """Exploration, windows and the kill switch take effect at once and leave the line alone."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0, 1.0])
        await learned(service)
        learner = service._loops["loop"].learner
        await make(service, exploration={"mode": "greedy"})
        assert service._loops["loop"].learner is learner
        assert (await service.decide("loop", REQUEST, BODY)).decision.ranking[0].reason == "mode greedy"

    run(scenario, store)


def test_a_policy_that_cannot_learn_is_reported(store: Store) -> None:
    """When folding fails, decisions go on, and the status says which outcome and why, until it succeeds."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)

        def refuse(*anything: object) -> None:
            raise RuntimeError("out of order")

        policy = service._loops["loop"].learner.policy
        policy.learn = refuse
        await interact(service, [1.0])
        status = await service.status("loop", 1, 5)
        assert "out of order" in status.learning_error
        assert status.learned_through == 0
        assert (await service.decide("loop", REQUEST, BODY)).decision.ranking
        del policy.learn  # mended
        await interact(service, [0.0])
        await calm(service)
        status = await service.status("loop")
        assert (status.learned_through, status.learning_error) == (2, None)

    run(scenario, store)


def test_a_policy_that_fails_half_way_leaves_no_trace(store: Store) -> None:
    """It raised once, in the second slot of a ranking: what it had learned of the first is not learned twice."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, reward={"window_s": 10, "credit": "all"})
        await interact(service, [1.0, 0.0, 1.0])
        await learned(service)
        policy = service._loops["loop"].learner.policy
        learn, slots = policy.learn, itertools.count()

        def fails_in_the_second(*anything: object) -> None:
            if next(slots) == 1:
                raise RuntimeError("just now")
            learn(*anything)

        policy.learn = fails_in_the_second
        made = await service.decide("loop", msgspec.structs.replace(REQUEST, top_n=2), BODY)
        await service.reward("loop", RewardRequest(made.decision.decision_id, 1.0))
        clock.now += 11 * SECOND
        await calm(service)
        status = await service.status("loop")
        assert "just now" in status.learning_error
        assert status.learned_through == 3
        await interact(service, [0.0])
        await calm(service)
        status = await service.status("loop")
        assert (status.learned_through, status.learning_error) == (5, None)
        config = service.loop("loop").config
        again = begin_line(store, "loop", config)
        while advance(store, "loop", again, through=5, limit=9):
            pass
        assert again.policy.dump() == service._loops["loop"].learner.policy.dump()

    run(scenario, store)


def test_config_revisions(store: Store) -> None:
    """A PUT with an old revision is refused; a name or loop that is not there is refused by name."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await make(service)
        with pytest.raises(Conflict, match="revision 2"):
            await service.put_loop("loop", LoopConfig(), 1)
        with pytest.raises(Conflict, match="there is no loop 'new'"):
            await service.put_loop("new", LoopConfig(), 1)
        for bad in ("", "a/b", "-x", "x" * 101):
            with pytest.raises(InvalidInput, match="loop name"):
                await service.put_loop(bad, LoopConfig(), None)
        with pytest.raises(NotFound, match="PUT /v1/loops/nobody"):
            await service.decide("nobody", REQUEST, BODY)

    run(scenario, store)


def test_rewards_outside_the_range_are_refused(store: Store) -> None:
    """A declared range is kept: a value outside is refused, not clipped."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, reward={"range": [0, 1]})
        [decision_id] = await interact(service, [1.0])
        with pytest.raises(InvalidInput, match=r"outside the loop's reward range"):
            await service.reward("loop", RewardRequest(decision_id, 1.5))

    run(scenario, store)


def test_folding_refuses_gaps() -> None:
    """A learner takes outcomes one by one in log order, or not at all."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await interact(service, [1.0, 0.0])

    store = MemoryStore()
    run(scenario, store)
    examples = store.examples("loop", after=0, limit=9)
    learner = open_line(MemoryStore(), "loop", LoopConfig())
    with pytest.raises(ValueError, match="does not follow 0"):
        learner.fold(examples[1:])
    learner.fold(examples)
    with pytest.raises(ValueError, match="does not follow 2"):
        learner.fold(examples[:1])
    assert checkpoint_of("loop", learner, 5).position == 2
