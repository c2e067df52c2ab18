"""Group commit: operations that arrive while one transaction is being synced share the next one.

The event loop runs the operations, which are quick; one thread syncs, which is slow and needs no interpreter.
"""

import asyncio
import queue
import threading
from collections import deque
from typing import TypeVar, cast

from store.errors import HoneyguideError, NotStored
from store.ports import Operation, Store

T = TypeVar("T")

_Entry = tuple[Operation[object], "asyncio.Future[object]"]


_ENOUGH = 8
"""Waiting operations that are worth a sync of their own: the event loop goes on with the next ones meanwhile."""


class GroupCommit:
    """Runs operations on a store in shared, durable transactions, in the order in which they were submitted.

    At most `max_waiting` operations wait and at most `max_batch` share a transaction. Belongs to one event loop.
    """

    def __init__(self, store: Store, *, max_waiting: int = 4096, max_batch: int = 128) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._waiting: deque[_Entry] = deque()
        self._alone = 0
        self._syncing = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._loop = asyncio.get_running_loop()
        self._prepared: queue.SimpleQueue[list[tuple[asyncio.Future[object], object]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._sync, name="honeyguide-sync", daemon=True)
        self._thread.start()

    async def submit(self, operation: Operation[T]) -> T:
        """Run the operation and return its value once it is on disk.

        Raises the `HoneyguideError` that the operation raised, or `NotStored` when the write failed or too many wait.
        """
        if len(self._waiting) >= self._max_waiting:
            raise NotStored(f"{self._max_waiting} operations wait for the disk; send the request again")
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((operation, future))
        self._drained.clear()
        if len(self._waiting) >= _ENOUGH:
            self._begin()
        elif len(self._waiting) == 1:
            # Whoever else the event loop has to serve in this round joins the batch.
            self._loop.call_soon(self._begin)
        return cast("T", await future)

    async def close(self) -> None:
        """Commit what waits and stop."""
        await self._drained.wait()
        self._prepared.put(None)
        await asyncio.to_thread(self._thread.join)

    def _begin(self) -> None:
        """Run the next batch and hand it to the thread; on an error its callers hear it, and the next one begins."""
        while self._waiting and not self._syncing:
            size = 1 if self._alone else min(len(self._waiting), self._max_batch)
            self._alone = max(0, self._alone - 1)
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                results = self._store.begin([operation for operation, _ in batch])
            except NotStored as error:
                self._refuse(batch, error)
            else:
                self._syncing = True
                self._prepared.put([(future, result) for (_, future), result in zip(batch, results, strict=True)])
        if not self._syncing:
            self._drained.set()

    def _refuse(self, batch: list[_Entry], error: NotStored) -> None:
        """Tell the caller; of several, try each alone, so that what one of them broke spoils nobody else's."""
        if len(batch) == 1:
            _answer([(batch[0][1], error)])
        else:
            self._alone += len(batch)
            self._waiting.extendleft(reversed(batch))

    def _sync(self) -> None:
        while (answers := self._prepared.get()) is not None:
            try:
                self._store.commit()
            except NotStored as error:
                answers = [(future, error) for future, _ in answers]
            self._loop.call_soon_threadsafe(self._done, answers)

    def _done(self, answers: list[tuple["asyncio.Future[object]", object]]) -> None:
        self._syncing = False
        _answer(answers)
        self._begin()


def _answer(answers: list[tuple["asyncio.Future[object]", object]]) -> None:
    for future, result in answers:
        if future.cancelled():
            continue  # the client hung up; what it sent is stored all the same
        if isinstance(result, HoneyguideError):
            future.set_exception(result)
        else:
            future.set_result(result)
