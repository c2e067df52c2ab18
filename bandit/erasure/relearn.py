"""The lines that serve in the place of tainted ones learn the log at once, so that no server begins with nothing."""

from collections.abc import Callable
from functools import partial

import msgspec

from bandit.learn.checkpoints import begin_line, checkpoint_of, open_line
from bandit.learn.learner import Learner
from bandit.learn.lines import find_line, line_for, taint_of
from bandit.learn.replay import folded
from bandit.service.runtime import CHECKPOINTS_KEPT
from bandit.settings import LoopConfig, read_config
from store.errors import Gone
from store.lineage import Line
from store.ports import Store, Transaction, write
from store.records import Checkpoint, Clock


class Relearned(msgspec.Struct, frozen=True):
    """A line that learned a loop's log through `position` in the place of a tainted one.

    It knows nothing of what was before the outcome `learns_from`: 1 unless earlier days were deleted.
    """

    loop: str
    line: str
    position: int
    learns_from: int


def relearn(store: Store, clock: Clock, progress: Callable[[int], None]) -> list[Relearned]:
    """Have each line that serves in the place of another, and that is not stored yet, learn its log; store it."""
    done = []
    for record in store.loops():
        config = read_config(record.config)
        line = line_for(store, record.name, config)
        if line.why != "erasure" or line.name in store.stored_through(record.name):
            continue
        learner = _begun(store, config, line)
        before = learner.position
        for position in folded(store, record.name, learner, store.log_position(record.name)):
            progress(position - before)
            before = position
        made = checkpoint_of(record.name, learner, clock())
        write(store, [partial(_save, checkpoint=made)])
        done.append(Relearned(record.name, line.name, learner.position, learner.learns_from))
    return done


def _begun(store: Store, config: LoopConfig, line: Line) -> Learner:
    """Return the line at the newest state of the tainted one that is older than what taints it: they are one so far."""
    origin = find_line(store, line.loop, line.origin or "").line
    taint = taint_of(store, origin)
    if taint is None:
        return begin_line(store, line.loop, config, line)
    try:
        learner = open_line(store, line.loop, config, through=taint.position - 1, line=origin)
    except Gone:  # that state needs what was deleted: it learns what is left
        return begin_line(store, line.loop, config, line)
    learner.become(line)
    return learner


def _save(tx: Transaction, checkpoint: Checkpoint) -> None:
    tx.save_checkpoint(checkpoint, keep=CHECKPOINTS_KEPT)
