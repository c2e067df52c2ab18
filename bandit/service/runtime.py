"""A loop at run time: its config, what serves, and the task that learns."""

import asyncio
import functools
import logging

from bandit.decide import Frame
from bandit.exploration import History
from bandit.learn.advance import advance
from bandit.learn.checkpoints import checkpoint_of, copy_of, open_line
from bandit.learn.learner import Learner
from bandit.learn.lines import Known, line_for
from bandit.pace import Waiting, next_cut, next_multiple
from bandit.service.frequencies import open_frequency
from bandit.service.past import open_history
from bandit.service.serving import SLICE, Serving
from bandit.settings import LoopConfig, read_config
from store.errors import HoneyguideError
from store.log.group_commit import GroupCommit
from store.ports import Operation, Store, Transaction
from store.records import SECOND, Checkpoint, Clock, LoopRecord, Relearning

_log = logging.getLogger(__name__)

CHECKPOINTS_KEPT = 20
_EVER = 2**62
RETRY_AFTER = SECOND
"""Microseconds after which a cut that could not be stored is tried again."""


class LoopRuntime:
    """One loop: decides with what serves, and brings that forward as the durable outcome log grows.

    Deciding and folding take turns on one event loop, so a decision never sees half an update. Where each outcome is
    learned at once, what serves is folded in place. Otherwise, and for another line, what is to serve next is folded
    behind it, and then takes its place.
    """

    def __init__(self, record: LoopRecord, store: Store, commit: GroupCommit, clock: Clock) -> None:
        self.record = record
        self.config: LoopConfig = read_config(record.config)
        self._line = line_for(store, record.name, self.config)
        self.learning_error: str | None = None
        self._store = store
        self._commit = commit
        self._clock = clock
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._wake_at: int | None = None
        self._moved = asyncio.Condition()
        self._serving = self._open(self._past(History()))
        self._next: Serving | None = None
        self._cut, self._last_cut = store.last_checkpoint(record.name)
        self._oldest = (0, 0)
        self.frequency = open_frequency(store, record.name, self.config.guards, clock())
        self._wake.set()
        self._task = asyncio.create_task(self._learn(), name=f"learn {record.name}")

    @property
    def name(self) -> str:
        """The loop's name."""
        return self.record.name

    @property
    def line(self) -> str:
        """The line of the config, which serves unless it has yet to learn the log."""
        return self._line.name

    @property
    def learner(self) -> Learner:
        """The line and the state that serve."""
        return self._serving.learner

    @property
    def history(self) -> History:
        """What the guards know of the past."""
        return self._serving.history

    @property
    def checkpoint(self) -> int | None:
        """The position of the newest checkpoint of the line that serves."""
        return self._serving.saved

    @property
    def behind(self) -> Learner | None:
        """What is to serve next, once it has learned the log; None where there is nothing."""
        return self._next.learner if self._next else None

    def frame(self) -> Frame:
        """Return what the loop brings to a decision now."""
        learner = self.learner
        version, learned = learner.model_version, learner.settled
        memory = self.history, self.frequency
        revision = self.record.revision
        return Frame(self.name, self.record.secret, self.config, learner.policy, version, learned, *memory, revision)

    def wake(self) -> None:
        """Say that the outcome log may have grown."""
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Return when nothing is left that may be learned by now, or learning has failed."""
        await self._idle.wait()

    def look(self) -> None:
        """Wake up if the time has come for what waits for it."""
        if self._wake_at is not None and self._clock() >= self._wake_at:
            self._wake_at = None
            self.wake()

    def apply(self, record: LoopRecord) -> None:
        """Take a new config; one that is of another line has that learn the log before it serves."""
        line, guards = self.line, self.config.guards
        self.record, self.config = record, read_config(record.config)
        self._line = line_for(self._store, self.name, self.config)
        if self.config.guards != guards:
            self.frequency = open_frequency(self._store, self.name, self.config.guards, self._clock())
        self._serving.history = self._past(self.history)
        self._next = self._successor()
        if self.line != line:
            self.learning_error = None
        # From here on it moves in cuts, if it does: this is the first of them.
        self._cut = self._log_position() if self._next else self.learner.position
        if self._next and self._next.reached(self._cut):
            self._serve(self._next)
        self.wake()

    async def wait_learned(self, position: int, timeout_s: float) -> None:
        """Return once the outcomes through `position` are learned, learning failed, or `timeout_s` seconds passed."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self.reached(position) or self.learning_error)
        except TimeoutError:
            return

    def reached(self, position: int) -> bool:
        """Say whether the config's own line serves with the outcomes through `position`."""
        return self.line == self.learner.line and self._serving.reached(position)

    @property
    def through(self) -> int:
        """The position through which there is no reason to wait with learning."""
        return self._cut if self.config.learning.in_batches else self._log_position()

    @property
    def waiting(self) -> int:
        """How many outcomes on disk the state that serves does not contain."""
        return self._log_position() - self.learner.position

    @property
    def next_at(self) -> int | None:
        """When the state that serves moves on, in microseconds; None where outcomes do not wait, or nobody knows."""
        learning = self.config.learning
        if not learning.in_batches:
            return None
        waiting, position = self.waiting, self.learner.position
        if waiting and self._oldest[0] != position + 1:
            [oldest] = self._store.examples(self.name, after=position, limit=1)
            self._oldest = (position + 1, oldest.outcome.at)
        what = Waiting(waiting, self._oldest[1], self._last_cut)
        return next_cut(learning.mode, learning.batch, what, self._clock())

    async def close(self) -> None:
        """Stop learning and store where it stands."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._serving.unsaved > 0:
            await self._save(self._serving)
        # What stands between two cuts never served, so a restart must not serve it.
        if self._next and self._next.unsaved > 0 and not self.config.learning.in_batches:
            await self._save(self._next)

    def _open(self, history: History) -> Serving:
        learner = open_line(self._store, self.name, self.config, line=self._line)
        saved = None if learner.position == learner.began else learner.position
        return Serving(Known(self._line, self.config), learner, history, saved, self._clock())

    def _past(self, before: History) -> History:
        return open_history(self._store, self.name, self.config, self._clock(), before)

    def _log_position(self) -> int:
        return self._store.log_position(self.name)

    def _successor(self) -> Serving | None:
        """Return what is to serve next under the config, which is new; a batch is begun anew."""
        if self.line == self.learner.line:
            return None
        if self._next is None or self._next.learner.line != self.line:
            return self._open(self.history.ahead())
        self._next.history = self.history.ahead()
        return self._next

    async def _learn(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._go_on()
                self.learning_error = None
            except Exception as error:  # noqa: BLE001  # a user's policy may raise anything
                # Serving goes on with the state before the outcome that cannot be folded; status and log say so.
                failed = self._next or self._serving
                self.learning_error = f"{failed.learner.model_version} cannot learn its next outcome: {error!r}"
                _log.warning("loop %r stopped learning", self.name, exc_info=error)
                await self._tell()
                await self._restored(failed)
            if not self._wake.is_set():
                self._idle.set()

    async def _go_on(self) -> None:
        moved = True
        while moved:
            moved = await self._step()
            await asyncio.sleep(0)  # let others have their turn

    async def _step(self) -> bool:
        """Do the next small piece of what there is to do; returns False when there is nothing."""
        if self._next is None and await self._relearn_if_due():
            return True
        if self._next is None and self._cut_is_due():
            self._cut = self._log_position()
            learner = copy_of(self.learner, self.config)
            known, saved, saved_at = self._serving.known, self._serving.saved, self._serving.saved_at
            self._next = Serving(known, learner, self.history.ahead(), saved, saved_at)
        if self._next is not None:
            return await self._go_on_behind(self._next)
        return await self._go_on_in_place(self._serving)

    async def _restored(self, failed: Serving) -> None:
        try:
            await self._restore(failed)
        except Exception:  # noqa: BLE001  # as above
            _log.exception("loop %r serves an older state", self.name)

    async def _restore(self, failed: Serving) -> None:
        """Bring back the state before an outcome that could not be folded: a part of it may have been learned.

        Goes on from the newest checkpoint, and stores where it comes to: the next failure finds it at once.
        """
        there = failed.learner.position
        line, config = failed.known
        open_again = functools.partial(open_line, self._store, self.name, config, through=there, line=line)
        failed.learner = open_again()
        try:
            while failed.learner.position < there:
                advance(self._store, self.name, failed.learner, through=there, limit=SLICE)
                await asyncio.sleep(0)
        except Exception:
            failed.learner = open_again()
            raise
        if failed.unsaved > 0 and not self.config.learning.in_batches:
            await self._save(failed)

    async def _relearn_if_due(self) -> bool:
        """Have the line learn anew before its next outcome, if it is time; on disk first, for every fold must do so."""
        self._wake_at, every_s, learner = None, self.config.learning.relearn_s, self.learner
        since = self._store.log_start(self.name) - 1
        if (
            every_s is None
            or not self._serving.reached(max(since + 1, self.through))
            or learner.position in learner.relearnings
        ):
            return False
        past = self._store.relearnings(self.name, learner.line)
        now, due_at = self._clock(), next_multiple(every_s, max([self.record.updated_at, *(r.at for r in past)]))
        if due_at > now:
            self._wake_at = due_at
            return False
        relearning = Relearning(loop=self.name, line=learner.line, position=learner.position, at=now, since=since)
        if not await self._write(functools.partial(_add_relearning, relearning=relearning), "not learned anew"):
            self._wake_at = now + RETRY_AFTER
            return False
        learner.relearnings[learner.position] = since
        return True

    def _cut_is_due(self) -> bool:
        if not self.config.learning.in_batches:
            return False
        next_at = self.next_at if self._serving.reached(self.through) else None
        if next_at is not None:
            self._wake_at = next_at if self._wake_at is None else min(self._wake_at, next_at)
        return self.waiting > 0 and next_at is not None and next_at <= self._clock()

    async def _go_on_in_place(self, serving: Serving) -> bool:
        # Where each outcome is learned at once, the end of the log need not be asked for, and learning anew not wait.
        moved = serving.step(self._store, self.name, self._cut if self.config.learning.in_batches else _EVER)
        await self._tell()
        if self._checkpoint_is_due(serving):
            await self._save(serving)
        return moved

    async def _go_on_behind(self, behind: Serving) -> bool:
        if behind.step(self._store, self.name, self.through):
            if not self.config.learning.in_batches and self._checkpoint_is_due(behind):
                await self._save(behind)
            return True
        # A cut is stored before it serves: what serves after a restart is what served before.
        if self.config.learning.in_batches and behind.unsaved > 0 and not await self._save(behind):
            self._wake_at = self._clock() + RETRY_AFTER
            return False
        if behind is self._next and behind.reached(self.through):  # a PUT may have come meanwhile
            self._serve(behind)
            await self._tell()
        return True

    def _serve(self, behind: Serving) -> None:
        """Swap what serves; the history goes on as the same object, for decisions have spent of it meanwhile."""
        self.history.learned, behind.history = behind.history.learned, self.history
        self._serving, self._next, self._last_cut = behind, None, self._clock()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _checkpoint_is_due(self, serving: Serving) -> bool:
        if self.config.learning.in_batches:
            return serving.unsaved > 0
        return self.config.learning.checkpoint.is_due(serving.unsaved, self._clock() - serving.saved_at)

    async def _save(self, serving: Serving) -> bool:
        checkpoint = checkpoint_of(self.name, serving.learner, self._clock())
        if not await self._write(functools.partial(_save_checkpoint, checkpoint=checkpoint), "no checkpoint"):
            return False
        serving.saved, serving.saved_at = checkpoint.position, checkpoint.at
        return True

    async def _write(self, operation: Operation[None], otherwise: str) -> bool:
        try:
            await self._commit.submit(operation)
        except HoneyguideError as error:
            _log.warning("loop %r: %s: %s", self.name, otherwise, error)
            return False
        return True


def _add_relearning(tx: Transaction, relearning: Relearning) -> None:
    tx.add_relearning(relearning)


def _save_checkpoint(tx: Transaction, checkpoint: Checkpoint) -> None:
    tx.save_checkpoint(checkpoint, keep=CHECKPOINTS_KEPT)
