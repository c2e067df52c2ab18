"""Where a replay begins: with the line, or where that was deleted at the oldest stored state that leads on."""

from collections.abc import Sequence
from typing import NamedTuple

from bandit.learn.checkpoints import begin_line, resume_line
from bandit.learn.learner import Learner
from bandit.learn.reach import leads
from bandit.settings import LoopConfig
from store.errors import Gone, InvalidInput
from store.lineage import Line
from store.log.deleted import day
from store.ports import Store
from store.records import Checkpoint


class Beginning(NamedTuple):
    """What a replay goes on from, why that is not the first outcome, and what it can be held against.

    `damaged` are stored states that it should have begun with, `unchecked` those that it cannot come to.
    """

    learner: Learner
    reason: str | None
    compared: list[Checkpoint]
    damaged: list[Checkpoint]
    unchecked: list[int]


def beginning_of(store: Store, loop: str, config: LoopConfig, line: Line) -> Beginning:
    """Return where the replay of a line begins; raises `Gone` where what was deleted leaves nothing.

    The line learns with the config.
    """
    stored = sorted(store.checkpoints(loop, line.name), key=lambda checkpoint: checkpoint.position)
    start = store.log_start(loop) - 1
    began = stored[-1].began if stored else start
    own = [checkpoint for checkpoint in stored if checkpoint.began == began]
    before = [checkpoint.position for checkpoint in stored if checkpoint.began != began]
    if began < start:
        return _from_state(store, line, config, own, before)
    reason = f"the line began there, for {_earlier(store, loop)}" if began else None
    return Beginning(begin_line(store, loop, config, line, began), reason, own, [], before)


def _from_state(
    store: Store, line: Line, config: LoopConfig, own: Sequence[Checkpoint], before: Sequence[int]
) -> Beginning:
    loop, start, end = line.loop, store.log_start(line.loop) - 1, store.log_position(line.loop)
    relearnings = store.relearnings(loop, line.name)
    leading = [checkpoint for checkpoint in own if leads(checkpoint, relearnings, start, end)]
    for number, checkpoint in enumerate(leading):
        try:
            learner = resume_line(store, loop, config, checkpoint, line)
        except InvalidInput:
            continue
        reason = f"it is the oldest stored state that leads on, for {_earlier(store, loop)}"
        lost = [c.position for c in own if c.position <= checkpoint.position and c not in leading[:number]]
        return Beginning(learner, reason, leading[number + 1 :], leading[:number], [*before, *lost])
    raise Gone(
        f"line {line.name} of loop {loop!r} cannot be replayed: {_earlier(store, loop)}, and none of its {len(own)} "
        "stored states leads on from there. When it serves, it learns what is left, and can be replayed from there on"
    )


def _earlier(store: Store, loop: str) -> str:
    newest = store.deletions(loop)[-1]
    return f"decisions with outcomes up to {newest.outcomes} were deleted by {day(newest.at)}"
