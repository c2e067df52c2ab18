"""Group commit: operations that arrive while one transaction is being synced share the next one.

One writer thread runs the store's `write`; an event loop submits and is answered after the sync.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence
from typing import TypeVar, cast

from store.errors import HoneyguideError, NotStored
from store.ports import Operation, Store

T = TypeVar("T")

_Entry = tuple[Operation[object], "asyncio.Future[object]"]


class GroupCommit:
    """Runs operations on a store in shared, durable transactions.

    At most `max_waiting` operations wait and at most `max_batch` share a transaction. `close` commits what waits.
    """

    def __init__(self, store: Store, *, max_waiting: int = 4096, max_batch: int = 256) -> None:
        self._store = store
        self._max_batch = max_batch
        self._queue: queue.Queue[_Entry | None] = queue.Queue(max_waiting)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="honeyguide-writer", daemon=True)
        self._thread.start()

    async def submit(self, operation: Operation[T]) -> T:
        """Run the operation and return its value once it is on disk.

        Raises the `HoneyguideError` that the operation raised, or `NotStored` when the write failed or too many wait.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        try:
            self._queue.put_nowait((operation, future))
        except queue.Full:
            raise NotStored(f"{self._queue.maxsize} operations wait for the disk; send the request again") from None
        return cast("T", await future)

    async def close(self) -> None:
        """Commit what waits and stop the writer."""
        await asyncio.to_thread(self._queue.put, None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next_batch():
            results = self._write([operation for operation, _ in batch])
            answers = [(future, result) for (_, future), result in zip(batch, results, strict=True)]
            self._loop.call_soon_threadsafe(_answer, answers)

    def _next_batch(self) -> list[_Entry]:
        first = self._queue.get()
        batch = []
        while first is not None:
            batch.append(first)
            if len(batch) == self._max_batch or self._queue.empty():
                return batch
            first = self._queue.get()
        if batch:
            self._queue.put(None)  # the stop sign came behind operations: finish these first
        return batch

    def _write(self, operations: Sequence[Operation[object]]) -> Sequence[object]:
        try:
            return self._store.write(operations)
        except NotStored as error:
            return [error] * len(operations)


def _answer(answers: list[tuple["asyncio.Future[object]", object]]) -> None:
    for future, result in answers:
        if future.cancelled():
            continue  # the client hung up; what it sent is stored all the same
        if isinstance(result, HoneyguideError):
            future.set_exception(result)
        else:
            future.set_result(result)
