"""A loop at run time: its config, its line, and the task that learns."""

import asyncio
import functools
import logging

from bandit.decide import Frame
from bandit.exploration import History
from bandit.learn.checkpoints import checkpoint_of, line_name, open_line
from bandit.learn.learner import Learner
from bandit.service.frequencies import open_frequency
from bandit.service.past import open_history
from bandit.settings import LoopConfig, read_config
from store.errors import HoneyguideError
from store.log.group_commit import GroupCommit
from store.ports import Store, Transaction
from store.records import SECOND, Checkpoint, Clock, LoopRecord

_log = logging.getLogger(__name__)

SLICE = 16
"""Outcomes folded before the event loop serves whoever waits: about a millisecond of learning."""
CHECKPOINT_OUTCOMES = 1000
CHECKPOINT_AFTER = 60 * SECOND
CHECKPOINTS_KEPT = 20


class LoopRuntime:
    """One loop: decides with its line's state as it is, and folds the durable outcome log into it.

    Deciding and folding take turns on one event loop, so a decision never sees half an update.
    """

    def __init__(self, record: LoopRecord, store: Store, commit: GroupCommit, clock: Clock) -> None:
        self.record = record
        self.config: LoopConfig = read_config(record.config)
        self.learning_error: str | None = None
        self._store = store
        self._commit = commit
        self._clock = clock
        self._wake = asyncio.Event()
        self._moved = asyncio.Condition()
        self.learner = self._open()
        self.history = self._past(History(), same_line=False)
        self.frequency = open_frequency(store, record.name, self.config.guards, clock())
        self._task = asyncio.create_task(self._learn(), name=f"learn {record.name}")

    @property
    def name(self) -> str:
        """The loop's name."""
        return self.record.name

    def frame(self) -> Frame:
        """Return what the loop brings to a decision now."""
        learner = self.learner
        version, learned = learner.model_version, learner.settled
        memory = self.history, self.frequency
        revision = self.record.revision
        return Frame(self.name, self.record.secret, self.config, learner.policy, version, learned, *memory, revision)

    def wake(self) -> None:
        """Say that the outcome log may have grown."""
        self._wake.set()

    def apply(self, record: LoopRecord) -> None:
        """Take a new config; another policy or decay opens another line, which learns the log from its beginning."""
        line = line_name(self.config)
        guards = self.config.guards
        self.record, self.config = record, read_config(record.config)
        if self.config.guards != guards:
            self.frequency = open_frequency(self._store, self.name, self.config.guards, self._clock())
        same_line = line_name(self.config) == line
        if not same_line:
            self.learner, self.learning_error = self._open(), None
        self.history = self._past(self.history, same_line=same_line)
        self.wake()

    async def wait_learned(self, position: int, timeout_s: float) -> None:
        """Return once the outcomes through `position` are learned, learning failed, or `timeout_s` seconds passed."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self._reached(position) or self.learning_error)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Stop learning and store where it stands."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.learner.position > (self.checkpoint or 0):
            await self._save()

    def _open(self) -> Learner:
        learner = open_line(self._store, self.name, self.config)
        self.checkpoint = learner.position or None
        self._saved_at = self._clock()
        self._wake.set()
        return learner

    def _past(self, before: History, *, same_line: bool) -> History:
        return open_history(self._store, self.name, self.config, self._clock(), before, same_line=same_line)

    def _reached(self, position: int) -> bool:
        seen = self.history.position
        return self.learner.position >= position and (seen is None or seen >= position)

    async def _learn(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._catch_up()
            except Exception as error:  # noqa: BLE001  # a user's policy may raise anything
                # Serving goes on with the state before the outcome that cannot be folded; status and log say so.
                self.learning_error = f"{self.learner.model_version} cannot learn its next outcome: {error!r}"
                _log.warning("loop %r stopped learning", self.name, exc_info=error)
                await self._tell()

    async def _catch_up(self) -> None:
        await self._remember()
        while examples := self._store.examples(self.name, after=self.learner.position, limit=SLICE):
            self.learner.fold(examples)
            self.history.learn(examples)
            await self._tell()
            if self._checkpoint_is_due():
                await self._save()
            await asyncio.sleep(0)

    async def _remember(self) -> None:
        """Bring the history to where the learner is: it may begin before the checkpoint that the learner began from."""
        while (seen := self.history.position) is not None and seen < self.learner.position:
            limit = min(SLICE, self.learner.position - seen)
            self.history.learn(self._store.examples(self.name, after=seen, limit=limit))
            await asyncio.sleep(0)
        await self._tell()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _checkpoint_is_due(self) -> bool:
        ahead = self.learner.position - (self.checkpoint or 0)
        return ahead >= CHECKPOINT_OUTCOMES or self._clock() - self._saved_at >= CHECKPOINT_AFTER

    async def _save(self) -> None:
        learner = self.learner
        checkpoint = checkpoint_of(self.name, learner, self._clock())
        try:
            await self._commit.submit(functools.partial(_save_checkpoint, checkpoint=checkpoint))
        except HoneyguideError as error:
            _log.warning("loop %r: no checkpoint at %s: %s", self.name, checkpoint.position, error)
            return
        if learner is self.learner:  # a new config may have opened another line meanwhile
            self.checkpoint, self._saved_at = checkpoint.position, checkpoint.at


def _save_checkpoint(tx: Transaction, checkpoint: Checkpoint) -> None:
    tx.save_checkpoint(checkpoint, keep=CHECKPOINTS_KEPT)
