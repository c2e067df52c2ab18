"""A run of an erasure over a data folder, which no server may use meanwhile.

One transaction takes the decisions out of the log, marks the lines that learned them, opens others in their places and
writes down that it was done. What follows clears the places where copies are. Killed anywhere, the next run goes on.
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from bandit.erasure.find import Found, Wanted, find, hashes
from bandit.erasure.places import PLACES
from bandit.erasure.relearn import Relearned, relearn
from bandit.erasure.tainted import Marked, marks, names_any
from store.errors import HoneyguideError, StoreUnusable
from store.lineage import Erased, Erasure
from store.log.archive.manifest import lock_archive
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore
from store.ports import Store, Transaction, write
from store.records import Clock

Progress = Callable[[int], None]


class Counted(msgspec.Struct, frozen=True):
    """What was, or would be, erased of a loop."""

    loop: str
    decisions: int
    outcomes: int
    rewards: int


class TaintedLine(msgspec.Struct, frozen=True):
    """A line that learned any of it, from which position on, and the one in its place."""

    loop: str
    line: str
    position: int
    replaced_by: str | None


class Report(msgspec.Struct, frozen=True):
    """What an erasure did, or with `dry_run` would do; `resumed` counts those of before that were not finished."""

    dry_run: bool
    erased: list[Counted]
    tainted: list[TaintedLine]
    resumed: int
    done: list[str]
    relearned: list[Relearned]


def erase_folder(data: Path, wanted: Wanted, clock: Clock, progress: Progress, *, dry_run: bool = False) -> Report:
    """Erase; or say what would be.

    Raises:
        InvalidInput: for an unknown loop.
        NotFound: for a named decision that never was.
        StoreUnusable: when a server, an archive or a backup runs on the folder, or something cannot be written.

    """
    if not (data / FILE_NAME).exists():
        raise StoreUnusable(f"{data / FILE_NAME} does not exist: name the data folder of a server with --data")
    folder = lock_folder(data)
    try:
        # No row may be sealed, or copied, between the log and the archive saying that it is erased.
        archive = lock_archive(data)
        try:
            with closing(SqliteStore(data)) as store:
                return _erase(data, store, wanted, clock, progress, dry_run=dry_run)
        finally:
            archive.release()
    finally:
        folder.release()


def _erase(  # what an erasure is made of meets here
    data: Path, store: SqliteStore, wanted: Wanted, clock: Clock, progress: Progress, *, dry_run: bool
) -> Report:
    pending = [erasure for erasure in store.erasures() if erasure.done_at is None]
    # Each has a time of its own, which is written on what it erased.
    at = max([clock(), *(erasure.at + 1 for erasure in store.erasures())])
    found = [each for each in find(store, wanted, progress) if each.decisions or names_any(store, each)]
    marked = {each.record.name: marks(store, each, at) for each in found}
    counted = [_counted(store, each) for each in found]
    tainted = [line for each in marked.values() for line in _tainted(each)]
    if dry_run:
        return Report(True, counted, tainted, len(pending), [], [])  # noqa: FBT003  # a field
    _take_out(store, wanted, found, marked, at)
    done = _clear(data, store, clock)
    return Report(False, counted, tainted, len(pending), done, relearn(store, clock, progress))  # noqa: FBT003


def _counted(store: Store, found: Found) -> Counted:
    loop = found.record.name
    outcomes = sum(len(store.outcomes(loop, d.decision_id)) for d in found.decisions)
    rewards = sum(len(store.rewards(loop, d.decision_id)) for d in found.decisions)
    return Counted(loop, len(found.decisions), outcomes, rewards)


def _tainted(marked: Marked) -> list[TaintedLine]:
    replaced = {line.origin: line.name for line in marked.lines}
    return [TaintedLine(t.loop, t.line, t.position, replaced.get(t.line)) for t in marked.taints]


def _take_out(store: Store, wanted: Wanted, found: list[Found], marked: dict[str, Marked], at: int) -> None:
    operations = [
        partial(_take_out_of_loop, found=each, marked=marked[each.record.name], what=hashes(wanted, each.record), at=at)
        for each in found
    ]
    for result in write(store, operations):
        if isinstance(result, HoneyguideError):
            raise result


def _take_out_of_loop(tx: Transaction, found: Found, marked: Marked, what: tuple[str, ...], at: int) -> None:
    loop, count = found.record.name, Erased()
    for decision in found.decisions:
        count += tx.erase(decision, at)
    tx.count(loop, erased=count.outcomes)
    marked.write(tx)
    tx.save_erasure(Erasure(loop=loop, at=at, what=what, count=count))


def _clear(data: Path, store: Store, clock: Clock) -> list[str]:
    pending = [erasure for erasure in store.erasures() if erasure.done_at is None]
    if not pending:
        return []
    done = [place(data, pending, clock()) for place in PLACES]
    write(store, [partial(_finish, erasure=erasure, now=clock()) for erasure in pending])
    return done


def _finish(tx: Transaction, erasure: Erasure, now: int) -> None:
    tx.save_erasure(msgspec.structs.replace(erasure, done_at=now))
