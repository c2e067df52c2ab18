"""Group commit: concurrent operations share a transaction, and nobody is answered before it is durable."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from store.errors import Conflict, NotStored
from store.log.group_commit import GroupCommit
from store.log.memory import MemoryStore
from store.ports import Operation


class SlowStore(MemoryStore):
    """Waits in `commit` until told to go on, as a slow disk does; remembers the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.batches: list[int] = []
        self.fail = self.refuse = False

    def begin(self, operations: Sequence[Operation[object]]) -> list[object]:
        if self.refuse:
            raise NotStored("disk full")
        self.batches.append(len(operations))
        return super().begin(operations)

    def commit(self) -> None:
        self.go.wait()
        if self.fail:
            raise NotStored("disk full")
        super().commit()


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_operations_share_a_transaction_and_keep_their_order() -> None:
    """What arrives during one write is written together, in order, each with its own answer."""

    async def scenario() -> None:
        store = SlowStore()
        commit = GroupCommit(store)
        tasks = [asyncio.create_task(commit.submit(lambda tx, i=i: i)) for i in range(20)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        store.go.set()
        assert await asyncio.gather(*tasks) == list(range(20))
        assert len(store.batches) <= 2
        await commit.close()

    run(scenario)


def test_each_gets_its_own_error() -> None:
    """An operation that refuses raises for its caller only."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        commit = GroupCommit(store)

        def refuse(tx):
            raise Conflict("no")

        good, bad = commit.submit(lambda tx: 1), commit.submit(refuse)
        assert await good == 1
        with pytest.raises(Conflict):
            await bad
        await commit.close()

    run(scenario)


@pytest.mark.parametrize("step", ["refuse", "fail"])
def test_failed_write_fails_everyone_in_it_and_no_one_after(step: str) -> None:
    """When the disk refuses, at the write or at the sync, all of the batch hear it; the next batch is tried anew."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        setattr(store, step, True)
        commit = GroupCommit(store)
        for _ in range(2):
            with pytest.raises(NotStored, match="disk full"):
                await commit.submit(lambda tx: 1)
        setattr(store, step, False)
        assert await commit.submit(lambda tx: 1) == 1
        await commit.close()

    run(scenario)


def test_one_bad_operation_spoils_nobody_elses() -> None:
    """An operation that breaks its batch by accident is tried alone, and so are the others: only it is refused."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        commit = GroupCommit(store)

        def broken(tx):
            raise ZeroDivisionError

        operations = [lambda tx: "a", broken, lambda tx: "b"]
        results = await asyncio.gather(*(commit.submit(o) for o in operations), return_exceptions=True)
        assert (results[0], results[2]) == ("a", "b")
        assert isinstance(results[1], NotStored)
        assert await commit.submit(lambda tx: "c") == "c"
        assert store.batches[0] == 3
        await commit.close()

    run(scenario)


def test_queue_is_bounded() -> None:
    """Beyond the bound, callers are told at once to come again; nothing grows without end."""

    async def scenario() -> None:
        store = SlowStore()
        commit = GroupCommit(store, max_waiting=3, max_batch=1)
        tasks = [asyncio.create_task(commit.submit(lambda tx: 1)) for _ in range(10)]
        await asyncio.sleep(0.05)
        refused = [task for task in tasks if task.done()]
        assert len(refused) == 7  # three wait
        for task in refused:
            assert isinstance(task.exception(), NotStored)
        store.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await commit.close()

    run(scenario)


def test_close_commits_what_waits_and_a_caller_may_leave() -> None:
    """Closing writes the queue out; a caller that gave up does not disturb the others."""

    async def scenario() -> None:
        store = SlowStore()
        commit = GroupCommit(store, max_batch=4)
        tasks = [asyncio.create_task(commit.submit(lambda tx, i=i: i)) for i in range(9)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        tasks[5].cancel()
        store.go.set()
        await commit.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r for r in results if isinstance(r, int)] == [1, 2, 3, 4, 6, 7, 8]
        assert sum(store.batches) == 9

    run(scenario)


def test_what_comes_before_is_prepared_together() -> None:
    """Within one round all preparations run back to back, then their operations, in order; an error is its caller's."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        commit = GroupCommit(store)
        seen: list[str] = []

        def prepare(name: str):
            seen.append(f"prepare {name}")
            if name == "b":
                raise Conflict("no")
            return lambda tx: seen.append(f"run {name}")

        results = await asyncio.gather(
            *(commit.prepare(lambda name=name: prepare(name)) for name in "abc"), return_exceptions=True
        )
        assert seen == ["prepare a", "prepare b", "prepare c", "run a", "run c"]
        assert [type(result) for result in results] == [type(None), Conflict, type(None)]
        assert store.batches == [2]
        await commit.close()

    run(scenario)


def test_arrivals_without_a_pause_do_not_hold_up_the_first() -> None:
    """Where the event loop is never quiet, a batch begins all the same."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        commit = GroupCommit(store)
        first = asyncio.create_task(commit.submit(lambda tx: 1))
        others = []
        while not first.done():
            others.append(asyncio.create_task(commit.submit(lambda tx: 2)))
            await asyncio.sleep(0)
        assert await first == 1
        await asyncio.gather(*others)
        assert max(store.batches) <= 128
        await commit.close()

    run(scenario)


def test_after_closing_nobody_waits_in_vain() -> None:
    """An operation that comes after `close` is refused at once."""

    async def scenario() -> None:
        store = SlowStore()
        store.go.set()
        commit = GroupCommit(store)
        await commit.close()
        with pytest.raises(NotStored, match="stopping"):
            await commit.submit(lambda tx: 1)

    run(scenario)
