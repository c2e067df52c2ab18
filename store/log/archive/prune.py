"""Pruning: what is sealed and no longer needed at hand leaves the log's file; readers find it in the archive.

A decision goes with all its rows or stays with all of them. Its id, its times and where its rows are stay for good, and
so do the ids of its rewards: a request that is sent again finds its answer. Needs the log to itself.
"""

import functools
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from store.errors import StoreUnusable
from store.log import durable, rows
from store.log.archive.manifest import LogName, Manifest, Sealed, lock_archive
from store.log.archive.seal import loop_ids
from store.log.rows import Pruned

_BATCH = 500
_PRUNABLE = f"""
SELECT position, decision_id FROM decisions d
WHERE +loop = :loop AND position > :after AND position <= :decisions AND due <= :due_before
AND answer <> x'' AND NOT ({rows.IS_ERASED} AND request <> x'')
AND NOT EXISTS (SELECT 1 FROM open_decisions o WHERE o.due = d.due AND o.position = d.position)
AND NOT EXISTS (SELECT 1 FROM activations a WHERE a.decision = d.position AND a.decision > :activations)
AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.decision = d.position AND o.position > :outcomes)
AND NOT EXISTS (
    SELECT 1 FROM rewards r WHERE r.loop = d.loop AND r.decision_id = d.decision_id AND r.position > :rewards
)
ORDER BY position LIMIT :limit
"""


class Limit(msgspec.Struct, frozen=True):
    """What a loop needs at hand: decisions that fell due after `due_before`, and outcomes after `checkpoint`."""

    due_before: int
    checkpoint: int


def prune(data: Path, connection: sqlite3.Connection, limits: Mapping[str, Limit]) -> dict[str, int]:
    """Prune the loops that have limits; returns how many decisions of each. The caller has the folder's lock.

    Raises `StoreUnusable` when a segment is not what was sealed, before anything that it holds is pruned, and when the
    log cannot be written.
    """
    lock = lock_archive(data)
    try:
        manifest = Manifest(data)
        ids = loop_ids(connection, sorted(limits))
        return {loop: _Pruner(manifest, connection, loop, ids[loop]).prune(limit) for loop, limit in limits.items()}
    except sqlite3.Error as error:
        raise _no_room(data, error) from error
    finally:
        lock.release()


def vacuum(data: Path, connection: sqlite3.Connection) -> None:
    """Give the room that pruning made back to the file system. Raises `StoreUnusable` when that has no room itself."""
    try:
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise _no_room(data, error) from error


class _Pruner:
    """Prunes one loop."""

    def __init__(self, manifest: Manifest, connection: sqlite3.Connection, loop: str, loop_id: int) -> None:
        self._manifest, self._connection = manifest, connection
        self._loop, self._loop_id = loop, loop_id
        self._check = functools.cache(functools.partial(check_segment, manifest))

    def prune(self, limit: Limit) -> int:
        after = count = 0
        bounds = self._bounds(limit)
        while found := self._connection.execute(_PRUNABLE, {**bounds, "after": after}).fetchall():
            gone = {position: self._rows_of(position, decision_id) for position, decision_id in found}
            self._check_sealed(gone)
            self._write(gone)
            after, count = found[-1][0], count + len(found)
        return count

    def _bounds(self, limit: Limit) -> dict[str, int]:
        # The newest rows stay: the next positions are counted from them.
        newest_outcome = self._one("SELECT max(position) FROM outcomes WHERE loop = ?", self._loop_id)
        newest_reward = self._one("SELECT max(position) FROM rewards")
        last = functools.partial(self._manifest.last, self._loop)
        return {
            "loop": self._loop_id,
            "decisions": last("decisions"),
            "activations": last("activations"),
            "outcomes": min(last("outcomes"), limit.checkpoint, newest_outcome - 1),
            "rewards": min(last("rewards"), newest_reward - 1),
            "due_before": limit.due_before,
            "limit": _BATCH,
        }

    def _rows_of(self, position: int, decision_id: str) -> Pruned:
        execute = self._connection.execute
        outcomes = execute("SELECT position FROM outcomes WHERE decision = ? ORDER BY position", (position,))
        query = "SELECT position FROM rewards WHERE loop = ? AND decision_id = ? ORDER BY position"
        rewards = execute(query, (self._loop_id, decision_id))
        activated = execute("SELECT at FROM activations WHERE decision = ?", (position,)).fetchone()
        return Pruned(
            [row[0] for row in outcomes], [row[0] for row in rewards], None if activated is None else activated[0]
        )

    def _check_sealed(self, gone: Mapping[int, Pruned]) -> None:
        self._check_log("decisions", gone)
        self._check_log("outcomes", (position for pruned in gone.values() for position in pruned.outcomes))
        self._check_log("rewards", (position for pruned in gone.values() for position in pruned.rewards))
        self._check_log("activations", (position for position, p in gone.items() if p.activated is not None))

    def _check_log(self, log: LogName, positions: Iterator[int] | Mapping[int, Pruned]) -> None:
        for position in positions:
            segment = self._manifest.holding(self._loop, log, position)
            if segment is None:
                raise StoreUnusable(
                    f"row {position} of the {log} of loop {self._loop!r} is in no segment of the archive: "
                    "nothing of it was pruned; restore the folder's archive from a backup"
                )
            self._check(segment)

    def _write(self, gone: Mapping[int, Pruned]) -> None:
        many = self._connection.executemany
        outcomes = [(self._loop_id, position) for pruned in gone.values() for position in pruned.outcomes]
        rewards = [(position,) for pruned in gone.values() for position in pruned.rewards]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            many(
                "INSERT INTO pruned_rewards SELECT loop, reward_id, position FROM rewards"
                " WHERE position = ? AND reward_id IS NOT NULL",
                rewards,
            )
            many("DELETE FROM rewards WHERE position = ?", rewards)
            many("DELETE FROM outcomes WHERE loop = ? AND position = ?", outcomes)
            many("DELETE FROM activations WHERE decision = ?", [(position,) for position in gone])
            many(
                f"UPDATE decisions SET request = ?, answer = CASE WHEN {rows.IS_ERASED} THEN answer ELSE x'' END"
                " WHERE position = ?",
                [rows.pruned_row(pruned, position) for position, pruned in gone.items()],
            )
            self._connection.execute(
                "INSERT INTO pruned (loop, decisions, outcomes) VALUES (?, ?, ?) ON CONFLICT (loop) DO UPDATE SET"
                " decisions = max(decisions, excluded.decisions), outcomes = max(outcomes, excluded.outcomes)",
                (self._loop_id, max(gone), max((position for _, position in outcomes), default=0)),
            )
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back itself, as it does when the disk is full.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, query: str, *values: object) -> int:
        return self._connection.execute(query, values).fetchone()[0] or 0


def _no_room(data: Path, error: sqlite3.Error) -> StoreUnusable:
    return StoreUnusable(f"the log of {data} cannot be written ({error}): nothing is lost; make room, and run again")


def check_segment(manifest: Manifest, segment: Sealed) -> None:
    """Refuse a segment whose file is not the one that was sealed. Raises `StoreUnusable`, naming both checksums."""
    path = manifest.path(segment)
    found = durable.sha256(path) if path.exists() else "no file"
    if found != segment.sha256:
        raise StoreUnusable(
            f"{path} is damaged: its SHA-256 is {found}, and {segment.sha256} was sealed: put it back from a backup"
        )
