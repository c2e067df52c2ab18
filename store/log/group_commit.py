"""Group commit: operations that arrive while one transaction is being synced share the next one.

The event loop runs the operations, which are quick; one thread syncs, which is slow and needs no interpreter. What
comes before an operation, such as deciding, runs back to back for all whom the event loop serves in one round: code
that takes turns with the handling of HTTP runs at half its speed.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

from store.errors import NotStored
from store.ports import Operation, Store

T = TypeVar("T")

_QUIET_ROUNDS = 4
"""Rounds of the event loop without a new operation after which nobody else is about to join: from its socket to here a
request takes three."""
_ENOUGH = 64
"""Operations that begin without waiting for a quiet moment."""
_LONGEST_S = 0.002
"""How long an operation waits for others at most."""

_Prepare = Callable[[], Operation[object]]
_Entry = tuple[Operation[object], "asyncio.Future[object]"]


class GroupCommit:
    """Runs operations on a store in shared, durable transactions, in the order in which they were submitted.

    At most `max_waiting` operations wait and at most `max_batch` share a transaction. Belongs to one event loop.
    """

    def __init__(self, store: Store, *, max_waiting: int = 4096, max_batch: int = 128) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._arrived: list[tuple[_Prepare, asyncio.Future[object]]] = []
        self._waiting: deque[_Entry] = deque()
        self._alone = 0
        self._quiet = 0
        self._since = 0.0
        self._watching = False
        self._syncing = False
        self._closed = False
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
        return await self.prepare(lambda: operation)

    async def prepare(self, prepare: Callable[[], Operation[T]]) -> T:
        """Call `prepare` within this round of the event loop, then do as `submit` with the operation it returns.

        Raises what `submit` raises, and the `HoneyguideError` that `prepare` raised.
        """
        if self._closed:
            raise NotStored("the server is stopping; send the request again")
        if len(self._waiting) + len(self._arrived) >= self._max_waiting:
            raise NotStored(f"{self._max_waiting} operations wait for the disk; send the request again")
        future: asyncio.Future[object] = self._loop.create_future()
        if not self._arrived:
            self._loop.call_soon(self._prepare_all)
        self._arrived.append((prepare, future))
        self._drained.clear()
        return cast("T", await future)

    async def close(self) -> None:
        """Commit what waits and stop; whoever comes later is refused."""
        self._closed = True
        await self._drained.wait()
        self._prepared.put(None)
        await asyncio.to_thread(self._thread.join)

    def _prepare_all(self) -> None:
        arrived, self._arrived = self._arrived, []
        for prepare, future in arrived:
            try:
                self._waiting.append((prepare(), future))
            except Exception as error:  # noqa: BLE001  # its caller hears it, whatever it is
                _answer([(future, error)])
        self._quiet = 0
        self._watch()

    def _watch(self) -> None:
        """Begin as soon as the event loop has nobody else to serve, and do not wait long for that."""
        if not self._watching and not self._syncing:
            self._watching, self._since = True, self._loop.time()
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._quiet += 1
        late = self._loop.time() - self._since >= _LONGEST_S
        if late or self._quiet >= _QUIET_ROUNDS or len(self._waiting) >= _ENOUGH:
            self._watching = False
            self._begin()
        else:
            self._loop.call_soon(self._look)

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
        if not self._syncing and not self._arrived:
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
        self._syncing, self._quiet = False, 0
        _answer(answers)
        self._watch()


def _answer(answers: list[tuple["asyncio.Future[object]", object]]) -> None:
    for future, result in answers:
        if future.cancelled():
            continue  # the client hung up; what it sent is stored all the same
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
