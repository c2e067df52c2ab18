"""Forks: another line of a loop that goes as one does through a past moment, or passes over what is somebody's."""

import re
from collections.abc import Iterable
from functools import partial

import msgspec
import numpy as np

from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, checkpoint_of, open_line
from bandit.learn.learner import Learner, read_situation
from bandit.learn.lines import Known, find_line, line_for, replacement, taint_of
from bandit.learn.passing import passed_over
from bandit.learn.replay import Progress, folded
from bandit.policies import randomness
from bandit.policies.base import Policy
from bandit.settings import read_config
from store.errors import Conflict, Gone, InvalidInput, NotFound
from store.lineage import Entity, Line, PassesOver
from store.ports import Store, Transaction, write
from store.records import Checkpoint, Decision, Relearning

_CHUNK = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN = re.compile(r".*-[0-9a-f]{8}(\.\d+)?")


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """What to fork: the line `source` (None: the one that serves) of a loop, as the line `name`.

    With `until`, in microseconds, it goes as the source does before the first outcome after that time, and passes over
    what the log has from there on by now. `without` are entities whose decisions it passes over altogether.
    """

    loop: str
    name: str
    until: int | None = None
    without: tuple[Entity, ...] = ()
    source: str | None = None


class Forked(msgspec.Struct, frozen=True):
    """A fork that has learned the log through `position`: `learned` of its outcomes, while it passed over others.

    `after` is the last outcome before the moment that was asked for, or null. For `prefers_another` of the `compared`
    newest decisions another action looks best to it than to its source at the same position.
    """

    loop: str
    line: str
    origin: str
    position: int
    after: int | None
    learned: int
    passed_over: int
    compared: int
    prefers_another: int


def fork(store: Store, wanted: Fork, *, now: int, keep: int, progress: Progress) -> Forked:
    """Open a line, have it learn the log to its end, and store it; until then it is not there.

    Raises:
        InvalidInput: for a name that may not be.
        Conflict: for a name that is taken, or a source that is tainted.
        NotFound: when there is no such loop or line.
        Gone: when the state of the moment needs what was deleted.

    """
    source, config = _source(store, wanted)
    _check_name(store, wanted)
    end = store.log_position(wanted.loop)
    after = None if wanted.until is None else last_before(store, wanted.loop, wanted.until)
    line = Line(
        loop=wanted.loop,
        name=wanted.name,
        origin=source.name,
        why="fork",
        passes_over=_rule(source.passes_over, wanted, after, end),
        opened_at=now,
    )
    learner = _begun(store, wanted, Known(source, config), after)
    relearnings = [r for r in store.relearnings(line.loop, source.name) if after is None or r.position <= after]
    learner.relearnings = {r.position: r.since for r in relearnings if r.since >= learner.began}
    learner.become(line)
    begun = learner.position
    passed = _learn(store, line.loop, learner, end, progress)
    made = checkpoint_of(line.loop, learner, now)
    write(store, [partial(_add, line=line, relearnings=relearnings, checkpoint=made, keep=keep)])
    newest = _newest_decisions(store, line.loop, end)
    return Forked(
        loop=line.loop,
        line=line.name,
        origin=source.name,
        position=end,
        after=after,
        learned=end - begun - passed,
        passed_over=passed,
        compared=len(newest),
        prefers_another=_prefers_another(newest, learner.policy, _folded(store, Known(source, config), end)),
    )


def last_before(store: Store, loop: str, moment: int) -> int:
    """Return the position of the last outcome before the first one whose time is after the moment, 0 if there is none.

    Not the last one at or before it: a state that is to know nothing of what came later must not have learned it.
    Raises `Gone` where it was deleted.
    """
    position = start = store.log_start(loop) - 1
    while entries := store.examples(loop, after=position, limit=_CHUNK):
        for entry in entries:
            if entry.outcome.at > moment:
                if 0 < position == start:
                    raise Gone(
                        f"the outcome log of loop {loop!r} begins at {start + 1}, after that moment: what was before "
                        "is deleted; name a later one with --until"
                    )
                return position
            position = entry.outcome.position
    return position


def _source(store: Store, wanted: Fork) -> Known:
    record = next((record for record in store.loops() if record.name == wanted.loop), None)
    if record is None:
        names = ", ".join(record.name for record in store.loops()) or "none"
        raise NotFound(f"there is no loop {wanted.loop!r} in this data folder; its loops are: {names}")
    if wanted.source is None:
        config = read_config(record.config)
        return Known(line_for(store, wanted.loop, config), config)
    known = find_line(store, wanted.loop, wanted.source)
    if taint_of(store, known.line):
        sound = replacement(store, known.line).name
        raise Conflict(f"line {wanted.source!r} learned what was erased since: fork {sound!r}, which is in its place")
    return known


def _begun(store: Store, wanted: Fork, source: Known, after: int | None) -> Learner:
    """Return the source where the fork begins to learn: where the log does, unless the state of the moment needs more.

    Raises `Gone` where that state needs what was deleted.
    """
    if after is None or wanted.without or store.log_start(wanted.loop) == 1:
        return begin_line(store, wanted.loop, source.config, source.line)
    return open_line(store, wanted.loop, source.config, through=after, line=source.line)


def _check_name(store: Store, wanted: Fork) -> None:
    name = wanted.name
    if not _NAME.fullmatch(name) or _OWN.fullmatch(name):
        raise InvalidInput(
            f"the name {name!r} is not allowed for a line: use 1 to 100 letters, digits, '.', '_', '-', not a sign "
            "first, and no ending like that of a config's own line, such as -0123abcd"
        )
    if any(line.name == name for line in store.lines(wanted.loop)):
        raise Conflict(f"loop {wanted.loop!r} has a line {name!r} already: choose another name with --as")


def _rule(rule: PassesOver, wanted: Fork, after: int | None, end: int) -> PassesOver:
    if after is not None and after < end:
        rule = rule.from_then_on(after, end)
    return PassesOver(rule.spans, tuple(dict.fromkeys((*rule.without, *wanted.without))))


def _learn(store: Store, loop: str, learner: Learner, end: int, progress: Progress) -> int:
    """Fold to the end; returns how many outcomes were passed over."""
    count = 0
    while (examples := advance(store, loop, learner, through=end, limit=_CHUNK)) is not None:
        count += len(passed_over(store, loop, learner.passes_over, examples))
        progress(learner.position)
    return count


def _folded(store: Store, known: Known, position: int) -> Policy:
    learner = open_line(store, known.line.loop, known.config, through=position, line=known.line)
    for _ in folded(store, known.line.loop, learner, position):
        pass
    return learner.policy


def _newest_decisions(store: Store, loop: str, end: int) -> list[Decision]:
    entries = store.examples(loop, after=max(store.log_start(loop) - 1, end - _CHUNK), limit=_CHUNK)
    found = {e.decision.position: e.decision for e in entries if e.decision.erased_at is None}
    return list(found.values())


def _prefers_another(decisions: Iterable[Decision], policy: Policy, other: Policy) -> int:
    return sum(_best(policy, decision) != _best(other, decision) for decision in decisions)


def _best(policy: Policy, decision: Decision) -> int:
    """Return the index of the eligible action that looks best: of the highest mean, or else the most likely."""
    seed = partial(randomness.generator, b"", decision.decision_id, "")
    belief = policy.believe(read_situation(decision), seed)
    scores = belief.distribution(np.arange(len(decision.actions))) if belief.mean is None else belief.mean
    return int(scores.argmax())


def _add(tx: Transaction, line: Line, relearnings: list[Relearning], checkpoint: Checkpoint, keep: int) -> None:
    tx.put_line(line)
    for relearning in relearnings:
        tx.add_relearning(msgspec.structs.replace(relearning, line=line.name))
    tx.save_checkpoint(checkpoint, keep=keep)
