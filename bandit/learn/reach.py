"""What of the log a line's stored states need, where the beginning of the log was deleted."""

from collections.abc import Iterable

from store.ports import Store
from store.records import Checkpoint, Relearning
from store.registry.statefile import digest


def leads(checkpoint: Checkpoint, relearnings: Iterable[Relearning], start: int, through: int) -> bool:
    """Say whether the fold from a checkpoint to `through` finds all that it needs in a log that begins behind `start`.

    `relearnings` are those of its line: one on the way that began in what was deleted cannot be done again.
    """
    if checkpoint.position == through:
        return True
    lost = (r.position for r in relearnings if checkpoint.began <= r.since < start)
    return checkpoint.position >= start and not any(checkpoint.position <= there < through for there in lost)


def goes_on_from(store: Store, loop: str, line: str) -> int:
    """Return the position from which the line goes on if it is opened: its newest checkpoint, or where the log begins.

    Whether that checkpoint is sound shows when it is opened.
    """
    start, end = store.log_start(loop) - 1, store.log_position(loop)
    newest = next(store.checkpoints(loop, line), None)
    return newest.position if newest and leads(newest, store.relearnings(loop, line), start, end) else start


def oldest_state(store: Store, loop: str, line: str) -> int:
    """Return the position of the line's oldest sound checkpoint that leads on whatever is deleted before it.

    0 where there is none: then the line needs its log from the beginning.
    """
    start = store.log_start(loop) - 1
    anew = max((relearning.position for relearning in store.relearnings(loop, line)), default=-1)
    # Each of them, not just the newest, so that one that is damaged can be passed over.
    return min((c.position for c in store.checkpoints(loop, line) if c.position > anew and _sound(c, start)), default=0)


def _sound(checkpoint: Checkpoint, start: int) -> bool:
    return checkpoint.position >= start and digest(checkpoint.state) == checkpoint.digest
