"""Replay: a line's outcomes folded again from the beginning, and held against what was stored while it served."""

import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from bandit.learn.advance import advance
from bandit.learn.beginning import beginning_of
from bandit.learn.checkpoints import numerics_fingerprint, open_line
from bandit.learn.learner import Learner
from bandit.learn.lines import Known, line_for, readable, taint_of
from bandit.learn.verify import CLOSE, verify
from bandit.settings import LoopConfig
from store.errors import Conflict, HoneyguideError, NotFound
from store.lineage import Line, Taint
from store.ports import Store
from store.records import Checkpoint, Decision
from store.registry import statefile
from store.registry.statefile import digest

Verdict: TypeAlias = Literal["identical", "close", "differs"]
Progress: TypeAlias = Callable[[int], None]

_CHUNK = 500
_EVER = 2**62


class Checked(msgspec.Struct, frozen=True):
    """A stored checkpoint beside the replayed state: to the bit, to 1e-9 on other numerics, or not.

    `same_numerics` says whether the libraries and the processor are those that computed it; `difference` is the
    largest of any number, relative to 1, or null where the states are not comparable or identical.
    """

    position: int
    verdict: Verdict
    same_numerics: bool
    difference: float | None


class Replay(msgspec.Struct, frozen=True):
    """What a replay found.

    `start` is the position behind which it began ("from" in JSON), and `reason` says why that is not 0, or is null;
    `unchecked` are stored states that it could not come to from there, the one that it began with included.
    `first_difference` is the first position whose state decided otherwise than was logged, `after` the last position
    that is known to be right; both are null where every checkpoint agrees. A line that is `tainted` is folded to
    before it learned what was erased since: its states from there on cannot be made again.
    """

    loop: str
    line: str
    position: int
    outcomes: int
    outcomes_per_s: float
    matches: bool
    checkpoints: list[Checked]
    after: int | None
    first_difference: int | None
    fingerprint: str
    start: int = msgspec.field(name="from")
    reason: str | None
    unchecked: list[int]
    tainted: Taint | None


class InForce(NamedTuple):
    """A loop's secret, and its config when a decision was made."""

    secret: bytes
    config: LoopConfig


def config_of(store: Store, decision: Decision) -> InForce:
    """Return what was in force when a decision was made.

    Raises `NotFound` where that config is not known: the decision, or the config, is older than configs are kept.
    """
    for record in store.configs(decision.loop):
        if record.revision == decision.revision and (config := readable(record)) is not None:
            return InForce(record.secret, config)
    raise NotFound(
        f"decision {decision.decision_id!r} was made under revision {decision.revision} of the loop's config, "
        "which is not known: it is older than this version keeps"
    )


def folded(store: Store, loop: str, learner: Learner, position: int, chunk: int = _CHUNK) -> Iterator[int]:
    """Fold a learner on to `position`, `chunk` outcomes at a time; yields where it stands.

    Raises `NotFound` when the outcome log does not go so far.
    """
    while advance(store, loop, learner, through=position, limit=chunk) is not None:
        yield learner.position
    if learner.position < position:
        raise NotFound(f"loop {loop!r} has {learner.position} outcomes, not {position}")


def replay(store: Store, loop: str, config: LoopConfig, *, progress: Progress, line: Line | None = None) -> Replay:
    """Fold the loop's outcome log again and compare with each stored checkpoint of the line, oldest first.

    The line is the one that serves under the config, unless another one that learns with it is named.

    Raises:
        Gone: where what was deleted leaves nothing to begin with.
        Conflict: where what the line had learned is erased by another process meanwhile.

    """
    line = line or line_for(store, loop, config)
    end, tainted = store.log_position(loop), taint_of(store, line)
    end = end if tainted is None else min(end, tainted.position - 1)
    beginning = beginning_of(store, loop, config, line)
    learner = beginning.learner
    checked = [_unusable(checkpoint) for checkpoint in beginning.damaged]
    good = start = learner.position
    seconds = 0.0
    compared = [checkpoint for checkpoint in beginning.compared if checkpoint.position <= end]
    for checkpoint in [] if checked else [*compared, None]:
        began = time.perf_counter()
        for position in folded(store, loop, learner, end if checkpoint is None else checkpoint.position):
            progress(position)
        seconds += time.perf_counter() - began
        if checkpoint is None:
            break
        checked.append(_check(config, learner, checkpoint))
        if checked[-1].verdict == "differs":
            break
        good = checkpoint.position
    failed = bool(checked) and checked[-1].verdict == "differs"
    if taint_of(store, line) != tainted:
        raise Conflict(
            f"line {line.name} of loop {loop!r} had learned what was erased while it was replayed: run again"
        )
    return Replay(
        loop=loop,
        line=line.name,
        position=learner.position,
        outcomes=learner.position - start,
        outcomes_per_s=(learner.position - start) / seconds if seconds else 0.0,
        matches=not failed,
        checkpoints=checked,
        after=good if failed else None,
        first_difference=first_difference(store, Known(line, config), good, learner.position) if failed else None,
        fingerprint=numerics_fingerprint(),
        start=start,
        reason=beginning.reason,
        unchecked=beginning.unchecked,
        tainted=tainted,
    )


def first_difference(store: Store, known: Known, low: int, high: int) -> int | None:
    """Return the first position in (low, high] whose state decides otherwise than was logged, by bisection.

    None where no decision was made by a state in between that would tell. The line is right at `low`.
    """
    (line, config), loop = known, known.line.loop
    made = {}
    for decision in _decisions(store, loop):
        name, _, position = decision.model_version.rpartition("@")
        if name == line.name and low < int(position) <= high:
            made[int(position)] = decision
    positions = sorted(made)
    first, last, found = 0, len(positions) - 1, None
    while first <= last:
        middle = (first + last) // 2
        decision = made[positions[middle]]
        learner = open_line(store, loop, config, through=low, line=line)
        for _ in folded(store, loop, learner, positions[middle]):
            pass
        used = config_of(store, decision)
        if verify(decision, learner.policy, used.secret, used.config, learner.settled).matches:
            first = middle + 1
        else:
            found, last = positions[middle], middle - 1
    return found


def _unusable(checkpoint: Checkpoint) -> Checked:
    """Return the verdict on a stored state that is damaged in itself."""
    return Checked(checkpoint.position, "differs", checkpoint.fingerprint == numerics_fingerprint(), None)


def _check(config: LoopConfig, learner: Learner, checkpoint: Checkpoint) -> Checked:
    same = checkpoint.fingerprint == numerics_fingerprint()
    state = learner.policy.dump()
    if digest(state) == checkpoint.digest == digest(checkpoint.state):
        return Checked(checkpoint.position, "identical", same, None)
    difference = _distance(config.policy["kind"], state, checkpoint.state)
    close = not same and difference is not None and difference <= CLOSE
    return Checked(checkpoint.position, "close" if close else "differs", same, difference)


def _distance(kind: str, ours: bytes, theirs: bytes) -> float | None:
    """Return the largest difference of two states' numbers, relative to 1, or None where they are of another shape."""
    try:
        (head, mine), (other_head, other) = statefile.unpack(kind, ours), statefile.unpack(kind, theirs)
    except HoneyguideError:
        return None
    if head != other_head or {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in other.items()}:
        return None
    if any(array.dtype.kind != "f" and (array != other[name]).any() for name, array in mine.items()):
        return None
    gaps = [np.abs(a - other[name]) / (1 + np.abs(a)) for name, a in mine.items() if a.dtype.kind == "f" and a.size]
    return max((float(gap.max()) for gap in gaps), default=0.0)


def _decisions(store: Store, loop: str) -> Iterator[Decision]:
    after = 0
    while rows := store.logged(loop, since=0, until=_EVER, after=after, limit=_CHUNK):
        yield from (row.decision for row in rows)
        after = rows[-1].decision.position
