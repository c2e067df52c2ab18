"""When what was learned begins to serve: the pace as a function, and batches over both stores."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import calm, seeded_service

from bandit.decide import DecisionRequest
from bandit.learn.checkpoints import open_line
from bandit.pace import BatchConfig, Waiting, next_cut
from bandit.service.service import Service
from bandit.service.serving import Serving
from bandit.service.status_views import StatusView
from bandit.service.views import RewardRequest, instant
from bandit.settings import LoopConfig, read_config
from store.errors import InvalidInput, NotStored
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store
from store.records import SECOND

BODY = b'{"context":{"x":1},"actions":[{"id":"a"},{"id":"b"}]}'
REQUEST = msgspec.json.decode(BODY, type=DecisionRequest)
HOUR = 3600 * SECOND
COUNT = {"mode": "micro_batch", "batch": {"outcomes": 5}}
AGE = {"mode": "micro_batch", "batch": {"seconds": 60}}
EITHER = {"mode": "micro_batch", "batch": {"outcomes": 5, "seconds": 60}}
HOURLY = {"mode": "scheduled", "batch": {"every_s": 3600}}


class Clock:
    """A clock that moves when it is told to."""

    now = 1000 * HOUR + 1

    def __call__(self) -> int:
        return self.now


Scenario = Callable[[Service, Clock], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


def run(scenario: Scenario, store: Store, clock: Clock | None = None) -> None:
    """Run a scenario against a started service, and close it."""

    async def whole() -> None:
        service = seeded_service(store, clock or Clock())
        await service.start()
        try:
            await scenario(service, service._clock)
        finally:
            await service.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def make(service: Service, learning: dict[str, object], **parts: object) -> None:
    config = {"reward": {"window_s": 10}, "learning": learning, **parts}
    await service.put_loop("loop", msgspec.convert(config, LoopConfig), None)


async def interact(service: Service, rewards: list[float]) -> list[str]:
    """Decide and reward one after the other; returns which states decided."""
    versions = []
    for value in rewards:
        decision = (await service.decide("loop", REQUEST, BODY)).decision
        versions.append(decision.model_version)
        await service.reward("loop", RewardRequest(decision.decision_id, value))
    return versions


async def status(service: Service) -> StatusView:
    """The status after whatever is due now has been done: two ticks of the service."""
    await calm(service)
    return await service.status("loop")


def pace(config: dict[str, object], waiting: Waiting, now: int) -> int | None:
    batch = msgspec.convert(config["batch"], BatchConfig)
    return next_cut(config["mode"], batch, waiting, now)


def test_cuts_by_hand() -> None:
    """A count is due when it is full, an age when the oldest has it, a schedule at the next multiple."""
    assert pace(COUNT, Waiting(4, 7, 0), 9) is None
    assert pace(COUNT, Waiting(5, 7, 0), 9) == 9
    assert pace(AGE, Waiting(1, 7, 0), 9) == 7 + 60 * SECOND
    assert pace(EITHER, Waiting(4, 7, 0), 9) == 7 + 60 * SECOND
    assert pace(EITHER, Waiting(5, 7, 0), 9) == 9
    assert pace(AGE, Waiting(0, 7, 0), 9) is None
    assert pace(HOURLY, Waiting(0, 0, 0), 5 * HOUR + 9) == 6 * HOUR
    assert pace(HOURLY, Waiting(1, 5 * HOUR, 0), 5 * HOUR + 9) == 6 * HOUR
    assert pace(HOURLY, Waiting(1, 5 * HOUR - 1, 0), 8 * HOUR) == 5 * HOUR


def test_what_came_behind_its_cut_waits_for_the_next() -> None:
    """An outcome that settled before a cut, and was written after it, is not a reason for another cut at once."""
    late = Waiting(1, 5 * HOUR - 1, 5 * HOUR + 3)
    assert pace(HOURLY, late, 5 * HOUR + 9) == 6 * HOUR


@given(st.integers(1, 10**16), st.integers(0, 10**16), st.integers(0, 10**16), st.floats(1, 31_536_000))
def test_a_schedule_never_waits_longer_than_its_period(now: int, since: int, last: int, every_s: float) -> None:
    """Whatever the clocks say, the next cut is a multiple of the period, and at most one period from now."""
    due = next_cut("scheduled", BatchConfig(every_s=every_s), Waiting(1, since, last), now)
    assert due % round(every_s * SECOND) == 0
    assert due <= now + round(every_s * SECOND)


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"mode": "micro_batch"}, "nothing says when a batch is full: give learning.batch.outcomes or"),
        ({"mode": "micro_batch", "batch": {}}, "nothing says when a batch is full"),
        ({"mode": "scheduled"}, "give learning.batch.every_s"),
        ({"batch": {"outcomes": 9}}, 'learning.batch is set and learning.mode is "interaction"'),
        ({"batch": {}}, "learning.batch is set"),
        ({"mode": "scheduled", "batch": {"every_s": 60, "outcomes": 9}}, "learning.batch.outcomes is 9"),
        (
            {"mode": "micro_batch", "batch": {"every_s": 60, "outcomes": 9}},
            r"every_s is 60\.0 and .* outcomes and seconds",
        ),
        ({"mode": "micro_batch", "batch": {"outcomes": 1}}, "learning.batch.outcomes"),
        ({"mode": "hourly"}, "learning.mode"),
        ({"checkpoint": {"outcomes": 9}}, "learning.checkpoint.outcomes"),
        ({"checkpoint": {"seconds": 0}}, "learning.checkpoint.seconds"),
    ],
)
def test_batches_that_make_no_sense_are_refused(learning: dict[str, object], message: str) -> None:
    """The message names the key, the value and the way out."""
    with pytest.raises(InvalidInput, match=message):
        read_config(msgspec.json.encode({"learning": learning}))


def test_a_count_cuts(store: Store) -> None:
    """With 5 to a batch, decisions are made by state 0 until 5 outcomes wait, and then by state 5."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, COUNT)
        assert {version.rpartition("@")[2] for version in await interact(service, [1.0, 0.0, 1.0, 0.0])} == {"0"}
        seen = await status(service)
        assert (seen.learned_through, seen.log_position, seen.checkpoint) == (0, 4, None)
        assert msgspec.to_builtins(seen.learning) == {
            "mode": "micro_batch", "delay": "wait", "next_at": None, "waiting": 4,
        }  # fmt: skip
        await interact(service, [1.0])
        seen = await service.status("loop", 5, 5)
        assert (seen.learned_through, seen.checkpoint, seen.learning.waiting) == (5, 5, 0)

    run(scenario, store)


def test_an_age_cuts(store: Store) -> None:
    """With 60 s to a batch, what waits is learned 60 s after the oldest of it settled; the status says when."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, AGE)
        await interact(service, [1.0])
        clock.now += 59 * SECOND
        await interact(service, [0.0])
        seen = await status(service)
        assert (seen.learned_through, seen.learning.waiting) == (0, 2)
        assert seen.learning.next_at == instant(clock.now + SECOND)
        clock.now += SECOND
        assert (await service.status("loop", 2, 5)).learned_through == 2

    run(scenario, store)


def test_a_schedule_cuts(store: Store) -> None:
    """Hourly cuts come at full hours UTC, take all that is there, and pass where nothing waits."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, HOURLY)
        assert (await status(service)).learning.next_at == instant(1001 * HOUR)
        await interact(service, [1.0, 0.0, 1.0])
        clock.now = 1001 * HOUR - 1
        assert (await status(service)).learned_through == 0
        clock.now += 1
        assert (await service.status("loop", 3, 5)).learned_through == 3
        await interact(service, [1.0])
        clock.now += HOUR // 2
        seen = await status(service)
        assert (seen.learned_through, seen.learning.next_at) == (3, instant(1002 * HOUR))

    run(scenario, store)


def test_decisions_never_see_half_a_batch(store: Store) -> None:
    """While a batch of many slices is folded, decisions go on, all by the state before it or the one after it.

    So it is with what the guards count: a ceiling knows the outcomes that the state knows.
    """

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, HOURLY, exploration={"ceiling": {"probability": 0.5, "outcomes": 50}})
        runtime = service._loops["loop"]
        await interact(service, [1.0, 0.0] * 100)
        clock.now += HOUR
        versions = []
        while not versions or not versions[-1].endswith("@200"):
            versions.append((await service.decide("loop", REQUEST, BODY)).decision.model_version)
            assert runtime.history.learned.position == runtime.learner.position
        assert {version.rpartition("@")[2] for version in versions} == {"0", "200"}

    run(scenario, store)


def test_a_cut_is_the_fold_of_the_log(store: Store) -> None:
    """Whatever the cuts, the state at a position is bit for bit what folding the log to it gives, corrections too."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, {**EITHER, "delay": "provisional"}, policy={"kind": "linear_ts", "memories": [0.9, 1.0]})
        for value in (1.0, 0.0, 0.5) * 4:
            await interact(service, [value])
            clock.now += 7 * SECOND
            await calm(service)
        clock.now += HOUR
        log = store.log_position("loop")
        assert (await service.status("loop", log, 5)).learned_through == log
        whole = open_line(MemoryStore(), "loop", service._loops["loop"].config)
        whole.fold(store.examples("loop", after=0, limit=999))
        assert whole.policy.dump() == service._loops["loop"].learner.policy.dump()
        assert len(list(store.checkpoints("loop", whole.line))) > 2

    run(scenario, store)


def test_a_restart_serves_what_served_before(tmp_path: Path) -> None:
    """A restart jumps to no cut that is not due: the last cut serves on, and the next one comes in its time."""
    clock, served = Clock(), []

    async def first(service: Service, clock: Clock) -> None:
        await make(service, HOURLY)
        await interact(service, [1.0, 0.0, 1.0])
        clock.now += HOUR
        await service.status("loop", 3, 5)
        await interact(service, [1.0, 1.0])
        served.append(service._loops["loop"].learner.policy.dump())

    async def second(service: Service, clock: Clock) -> None:
        seen = await status(service)
        assert (seen.learned_through, seen.learning.waiting, seen.learning.next_at) == (3, 2, instant(1002 * HOUR))
        assert service._loops["loop"].learner.policy.dump() == served[0]
        clock.now += HOUR
        assert (await service.status("loop", 5, 5)).learned_through == 5

    for scenario in (first, second):
        store = SqliteStore(tmp_path)
        run(scenario, store, clock)
        store.close()


def test_a_cut_that_fell_due_while_nobody_served_is_made_at_the_start(tmp_path: Path) -> None:
    """Downtime over a full hour is a cut that is late: it is made at once after the start."""
    clock = Clock()

    async def first(service: Service, clock: Clock) -> None:
        await make(service, HOURLY)
        await interact(service, [1.0, 0.0])

    async def second(service: Service, clock: Clock) -> None:
        assert (await service.status("loop", 2, 5)).learned_through == 2

    store = SqliteStore(tmp_path)
    run(first, store, clock)
    store.close()
    clock.now += HOUR
    store = SqliteStore(tmp_path)
    run(second, store, clock)
    store.close()


def test_a_damaged_checkpoint_of_a_cut_is_made_up_for(tmp_path: Path) -> None:
    """Where the cut's own state is damaged, the log is folded through the cut, no less and no more, before serving."""
    clock = Clock()

    async def first(service: Service, clock: Clock) -> None:
        await make(service, COUNT)
        await interact(service, [1.0, 0.0, 1.0, 0.0, 1.0])
        await service.status("loop", 5, 5)
        await interact(service, [1.0, 1.0])

    async def second(service: Service, clock: Clock) -> None:
        assert (await service.status("loop")).learned_through == 5

    store = SqliteStore(tmp_path)
    run(first, store, clock)
    store._writer.execute("UPDATE checkpoints SET state = zeroblob(9)")
    store.close()
    store = SqliteStore(tmp_path)
    run(second, store, clock)
    store.close()


def test_a_stop_in_the_middle_of_a_batch_serves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was folded of a batch when the server stopped is not what the next one serves."""
    clock, step = Clock(), Serving.step

    def stopped_half_way(self: Serving, store: Store, loop: str, through: int) -> bool:
        return True if self.learner.position >= 16 else step(self, store, loop, through)

    async def first(service: Service, clock: Clock) -> None:
        await make(service, HOURLY)
        await interact(service, [1.0, 0.0] * 20)
        monkeypatch.setattr(Serving, "step", stopped_half_way)
        clock.now += HOUR
        await service.tick()
        for _ in range(1000):  # it never comes to rest
            await asyncio.sleep(0)
        assert service._loops["loop"]._next.learner.position == 16

    async def second(service: Service, clock: Clock) -> None:
        assert (await service.status("loop")).learned_through == 0
        assert (await service.status("loop", 40, 5)).learned_through == 40

    store = SqliteStore(tmp_path)
    run(first, store, clock)
    store.close()
    monkeypatch.setattr(Serving, "step", step)
    store = SqliteStore(tmp_path)
    run(second, store, clock)
    store.close()


def test_guards_remember_over_a_cut(store: Store) -> None:
    """What decisions spent and lost before a cut is still counted after it."""
    guarded = {"value_guard": {"max_loss": 0.02}, "budget": {"share": 0.1, "window_s": 600}}

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, COUNT, exploration=guarded)
        await interact(service, [1.0, 0.0, 1.0, 0.0])
        decision = (await service.decide("loop", REQUEST, BODY)).decision
        before = (await service.status("loop")).exploration
        await service.reward("loop", RewardRequest(decision.decision_id, 1.0))
        after = (await service.status("loop", 5, 5)).exploration
        assert (before.value_guard.mean_loss is not None, before.budget.decisions) == (True, 5)
        assert (after.value_guard, after.budget) == (before.value_guard, before.budget)

    run(scenario, store)


def test_a_cut_is_on_disk_before_it_serves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its checkpoint cannot be written the state before serves on; a second later it is tried again."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, COUNT)
        refused = []

        async def refuse(operation: object) -> None:
            refused.append(operation)
            raise NotStored("the disk is full")

        await interact(service, [1.0, 0.0, 1.0, 0.0])
        decision = (await service.decide("loop", REQUEST, BODY)).decision
        submit = service._commit.submit
        service._loops["loop"]._commit = type("Full", (), {"submit": staticmethod(refuse)})
        await service.reward("loop", RewardRequest(decision.decision_id, 1.0))
        seen = await status(service)
        assert (seen.learned_through, len(refused)) == (0, 1)
        service._loops["loop"]._commit = type("Free", (), {"submit": staticmethod(submit)})
        clock.now += SECOND
        assert (await service.status("loop", 5, 5)).checkpoint == 5

    run(scenario, store)


def test_modes_change_without_loss(store: Store) -> None:
    """A loop whose mode is changed keeps its state: batches begin from where it stands, and end with all that waits."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, {})
        await interact(service, [1.0, 0.0, 1.0])
        await service.status("loop", 3, 5)
        await make(service, HOURLY)
        await interact(service, [1.0, 1.0])
        seen = await status(service)
        assert (seen.learned_through, seen.checkpoint, seen.learning.waiting) == (3, 3, 2)
        await make(service, {})
        assert (await service.status("loop", 5, 5)).learned_through == 5

    run(scenario, store)


def test_checkpoints_come_as_often_as_configured(store: Store) -> None:
    """After so many outcomes, or with the next one after so many seconds."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, {"checkpoint": {"outcomes": 10, "seconds": 100}})
        await interact(service, [1.0] * 9)
        assert (await status(service)).checkpoint is None
        await interact(service, [1.0])
        assert (await status(service)).checkpoint == 10
        clock.now += 99 * SECOND
        await interact(service, [1.0])
        assert (await status(service)).checkpoint == 10
        clock.now += SECOND
        await interact(service, [1.0])
        assert (await status(service)).checkpoint == 12

    run(scenario, store)
