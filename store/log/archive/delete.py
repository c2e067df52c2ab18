"""Deleting: the oldest days of the archive go for good, by a retention rule. Needs the log to itself.

A decision goes with all that belongs to it, and the decisions of a loop go in the order of their log. First the log
says that those of a segment are gone, in one transaction, and from then on nobody looks for them. Then files in which
nothing is left that anybody may look for are entered into the manifest as deleted, and at last they are removed. A run
that breaks off leaves such files at most, and the next one goes on with them.
"""

import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import get_args

import msgspec

from store.errors import HoneyguideError, StoreUnusable
from store.log import rows
from store.log.archive.manifest import Deleted, LogName, Manifest, Sealed, clear, lock_archive
from store.log.archive.seal import loop_ids
from store.log.archive.segments import read_segment
from store.ports import Store, write
from store.records import Deletion


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What may go of a loop: days before `before`, and of these only what nothing needs.

    Needed are decisions behind position `audited`, made at or after `at_before`, or due after `due_before`, and
    outcomes behind `outcomes`; `state` says whose state that is.
    """

    before: date
    due_before: int
    at_before: int
    audited: int
    outcomes: int
    state: str


class Stays(msgspec.Struct, frozen=True):
    """The first segment of a log that was to go and stays, and why."""

    log: LogName
    day: str
    why: str


class Done(msgspec.Struct, frozen=True):
    """What a run deleted of a loop, and what it left."""

    segments: list[Sealed]
    stays: list[Stays]


def delete(
    data: Path, store: Store, connection: sqlite3.Connection, limits: Mapping[str, Limit], now: int
) -> dict[str, Done]:
    """Delete from the loops that have limits; the caller has the folder's lock, and `store` is its log.

    Raises `StoreUnusable` when the log or the archive cannot be written, or a segment is damaged.
    """
    lock = lock_archive(data)
    try:
        manifest = Manifest(data)
        clear(manifest)
        ids = loop_ids(connection, sorted(limits))
        return {
            loop: _Deleter(manifest, store, connection, loop, ids[loop], now).delete(limit)
            for loop, limit in limits.items()
        }
    except (sqlite3.Error, OSError) as error:
        raise StoreUnusable(
            f"the log or the archive of {data} cannot be written ({error}): what is not deleted yet is whole; make "
            "room, and run again"
        ) from error
    finally:
        lock.release()


class _Deleter:
    """Deletes from one loop."""

    def __init__(
        self, manifest: Manifest, store: Store, connection: sqlite3.Connection, loop: str, loop_id: int, now: int
    ) -> None:
        self._manifest, self._store, self._connection = manifest, store, connection
        self._loop, self._loop_id, self._now = loop, loop_id, now

    def delete(self, limit: Limit) -> Done:
        stays = self._delete_decisions(limit)
        gone: list[Sealed] = []
        for log in get_args(LogName):
            unused, needed = self._unused(log, limit.before)
            gone += unused
            if needed and log in {"rewards", "outcomes"}:
                stays.append(Stays(log, needed.day, "it has rows of decisions that stay"))
        if gone:
            self._manifest.append([Deleted(file=segment.file, deleted_at=self._now) for segment in gone])
            clear(self._manifest)
        return Done(gone, stays)

    def _delete_decisions(self, limit: Limit) -> list[Stays]:
        for segment in self._manifest.of(self._loop, "decisions"):
            if segment.last <= self._deleted:
                continue
            if segment.day >= limit.before.isoformat():
                break
            newest = self._newest_outcome(segment)
            if (why := self._why_not(segment, newest, limit)) is not None:
                return [Stays("decisions", segment.day, why)]
            past = self._store.log_start(self._loop) - 1
            deletion = Deletion(loop=self._loop, decisions=segment.last, outcomes=max(past, newest), at=self._now)
            [refusal] = write(self._store, [lambda tx, deletion=deletion: tx.delete(deletion)])  # type: ignore[misc]
            if isinstance(refusal, HoneyguideError):
                raise refusal
        return []

    def _why_not(self, segment: Sealed, newest: int, limit: Limit) -> str | None:
        """Say why a segment's decisions are needed, the newest outcome of which is `newest`; None if they are not."""
        live, due, at = self._connection.execute(
            f"SELECT sum(answer <> x'' AND NOT ({rows.IS_ERASED} AND request <> x'')), max(due), max(at) FROM decisions"
            " WHERE +loop = ? AND position BETWEEN ? AND ?",
            (self._loop_id, segment.first, segment.last),
        ).fetchone()
        reasons = [
            (live > 0, f"{live:,} of its decisions are not pruned"),
            (due > limit.due_before, "a reward may still correct a decision in it"),
            (at >= limit.at_before, "the loop's budget or frequency caps look back to it"),
            (segment.last > limit.audited, "the propensity audit has not come so far: start a server on the folder"),
            (newest > limit.outcomes, f"an outcome of its decisions is newer than {limit.state}"),
            (newest >= self._store.log_position(self._loop), "it has the decision of the newest outcome"),
        ]
        return next((why for needed, why in reasons if needed), None)

    def _newest_outcome(self, segment: Sealed) -> int:
        """Return the newest outcome of a segment's decisions; those that were not pruned count as far as they are."""
        of = (self._loop_id, segment.first, segment.last)
        live: int = self._connection.execute(
            "SELECT coalesce(max(position), 0) FROM outcomes WHERE loop = ? AND decision BETWEEN ? AND ?", of
        ).fetchone()[0]
        pruned = self._connection.execute(
            f"SELECT request FROM decisions WHERE +loop = ? AND position BETWEEN ? AND ? AND {rows.HAS_PRUNED}", of
        )
        newest: int = max((position for (request,) in pruned for position in rows.pruned(request).outcomes), default=0)
        return max(newest, live)

    def _unused(self, log: LogName, before: date) -> tuple[list[Sealed], Sealed | None]:
        """Return the oldest segments of a log that nobody may look into, and the first one before that day that is."""
        found: list[Sealed] = []
        for segment in self._manifest.of(self._loop, log):
            if segment.day >= before.isoformat():
                break
            if self._is_needed(segment):
                return found, segment
            found.append(segment)
        return found, None

    def _is_needed(self, segment: Sealed) -> bool:
        """Say whether a row is of a decision that stays, or in the log: then pruning looks for it here."""
        deleted = self._deleted
        if segment.log in {"decisions", "activations"}:
            return segment.last > deleted
        live = self._connection.execute(
            f"SELECT 1 FROM {segment.log} WHERE loop = ? AND position BETWEEN ? AND ?",
            (self._loop_id, segment.first, segment.last),
        ).fetchone()
        return live is not None or any(
            self._decision(row[1]) > deleted for row in read_segment(self._manifest.path(segment), segment.log)
        )

    def _decision(self, name: int | str) -> int:
        """Return the position of the decision that a row names by position or by id; 0 where there is none."""
        if isinstance(name, int):
            return name
        query = "SELECT position FROM decisions WHERE loop = ? AND decision_id = ?"
        row = self._connection.execute(query, (self._loop_id, name)).fetchone()
        return row[0] if row else 0

    @property
    def _deleted(self) -> int:
        """Through which position the loop's decisions are gone."""
        return max((deletion.decisions for deletion in self._store.deletions(self._loop)), default=0)
