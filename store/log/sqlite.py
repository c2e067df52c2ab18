"""The embedded `Store`: one SQLite file, one writing connection, one reading connection.

Every batch is one transaction that is synced to disk (WAL, `synchronous=FULL`) before `commit` returns. One that cannot
be written leaves no trace, neither in the file nor in what is remembered here, and the next one is tried anew.
"""

import contextlib
import os
import sqlite3
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from sqlite_utils import Database

from store.errors import HoneyguideError, NotStored, StoreUnusable
from store.lineage import Erasure, Line, Taint
from store.log import rows
from store.log.archive.reader import Archive
from store.log.deleted import gone, log_begins
from store.log.erased import unless_erased
from store.log.schema import APPLICATION_ID, MIGRATION_NAMES, migrations
from store.log.sqlite_transaction import DELETIONS, Cursors, SqliteTransaction
from store.ports import Operation
from store.records import (
    AuditRecord,
    Checkpoint,
    Counts,
    Decision,
    Deletion,
    Example,
    Logged,
    LoopRecord,
    Outcome,
    Relearning,
    Reward,
)

FILE_NAME = "honeyguide.db"
_MAGIC = b"SQLite format 3\x00"


class SqliteStore:
    """The `Store` port over `<folder>/honeyguide.db`.

    One thread does everything but `commit`, which may run in another while that one reads. With `read_only` nothing is
    created, migrated or written; a running server's file may be read that way.

    Raises `StoreUnusable` when the file is damaged, foreign, newer than this program, or missing when `read_only`.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        path = folder / FILE_NAME
        existed = path.exists() and path.stat().st_size > 0
        if existed:
            check_file(path)
        elif read_only:
            raise StoreUnusable(f"{path} does not exist: name the data folder of a server with --data")
        if read_only:
            _check_migrated(path)
        try:
            if not read_only:
                _prepare(path)
            self._writer = None if read_only else connect(path)
            if self._writer is not None:
                # `begin` runs on the event loop, which must not wait; a second writer is a fault, not a habit.
                self._writer.execute("PRAGMA busy_timeout = 0")
            self._reader = connect(path)
            self._reader.execute("PRAGMA query_only = ON")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnusable(f"{path} cannot be opened ({error}): {_WAY_OUT}") from error
        self._cursors = self._durable = Cursors(self._reader)
        self._archive = Archive(folder)

    def begin(self, operations: Sequence[Operation[object]]) -> list[object]:
        if self._writer is None:
            raise NotStored("this store was opened to read only")
        self._durable = self._cursors.copy()
        tx = SqliteTransaction(self._writer, self._cursors, self._archive)
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            results = [_run(operation, tx) for operation in operations]
            tx.flush()
        except BaseException as error:
            raise self._undone(error) from error
        return results

    def commit(self) -> None:
        if self._writer is None:
            raise NotStored("this store was opened to read only")
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._undone(error) from error

    def loops(self) -> list[LoopRecord]:
        found = self._reader.execute("SELECT name, config, secret, revision, updated_at FROM loops ORDER BY name")
        return [rows.loop_record(row) for row in found]

    def configs(self, loop: str) -> list[LoopRecord]:
        query = (
            "SELECT l.name, c.config, l.secret, c.revision, c.at FROM configs c JOIN loops l ON l.id = c.loop"
            " WHERE c.loop = ? ORDER BY c.revision"
        )
        return [rows.loop_record(row) for row in self._query(loop, query)]

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        query = f"SELECT {rows.DECISION} FROM decisions d WHERE d.loop = ? AND d.decision_id = ?"
        row = self._query(loop, query, decision_id).fetchone()
        return unless_erased(self._decision(loop, row)) if row else None

    def rewards(self, loop: str, decision_id: str) -> list[Reward]:
        query = f"SELECT {rows.REWARD} FROM rewards r WHERE r.loop = ? AND r.decision_id = ? ORDER BY r.position"
        archived = self._archive.rows(loop, "rewards", self._pruned(loop, decision_id).rewards)
        return [rows.archived_reward(loop, row) for row in archived] + [
            rows.reward(loop, row) for row in self._query(loop, query, decision_id)
        ]

    def outcomes(self, loop: str, decision_id: str) -> list[Outcome]:
        query = (
            f"SELECT {rows.OUTCOME} FROM decisions d JOIN outcomes o ON o.decision = d.position"
            " WHERE d.loop = ? AND d.decision_id = ? ORDER BY o.position"
        )
        archived = self._archive.rows(loop, "outcomes", self._pruned(loop, decision_id).outcomes)
        return [rows.outcome(loop, decision_id, rows.archived_outcome(row)) for row in archived] + [
            rows.outcome(loop, decision_id, row) for row in self._query(loop, query, decision_id)
        ]

    def activated(self, loop: str, decision_id: str) -> int | None:
        query = (
            "SELECT a.at FROM decisions d JOIN activations a ON a.decision = d.position"
            " WHERE d.loop = ? AND d.decision_id = ?"
        )
        row = self._query(loop, query, decision_id).fetchone()
        return row[0] if row else self._pruned(loop, decision_id).activated

    def logged(self, loop: str, *, since: int, until: int, after: int, limit: int) -> list[Logged]:
        # The plus keeps the index by loop and id out: it would sort all of the loop's decisions for each call.
        query = (
            f"SELECT {rows.DECISION}, {rows.OUTCOME} FROM decisions d LEFT JOIN outcomes o ON o.loop = d.loop"
            " AND o.position = (SELECT max(position) FROM outcomes WHERE decision = d.position)"
            f" WHERE +d.loop = ? AND d.at >= ? AND d.at < ? AND d.position > ? AND NOT {rows.IS_ERASED}"
            " ORDER BY d.position LIMIT ?"
        )
        after = max(after, self._deleted(loop, "decisions"))
        found: list[Logged] = []
        last: int | None = after
        while not found and last is not None:
            after, last = last, None
            for row in self._query(loop, query, since, until, after, limit):
                last = row[0]
                # What another process erases meanwhile is erased in the archive before this knows: it is left out.
                if (there := self._logged(loop, row)) is not None:
                    found.append(there)
        return found

    def decisions(self, *, after: int, limit: int) -> list[Decision]:
        names = {loop_id: name for name, loop_id in self._cursors.loop_ids.items()}
        query = (
            f"SELECT d.loop, {rows.DECISION} FROM decisions d WHERE d.position > ? AND NOT {rows.IS_ERASED}"
            " AND d.position > coalesce((SELECT max(decisions) FROM deletions WHERE loop = d.loop), 0)"
            " ORDER BY d.position LIMIT ?"
        )
        found = self._reader.execute(query, (after, limit))
        return [self._decision(names[row[0]], row[1:]) for row in found]

    def erased(self, loop: str, *, since: int, until: int) -> int:
        query = f"SELECT count(*) FROM decisions WHERE +loop = ? AND at >= ? AND at < ? AND {rows.IS_ERASED}"
        count: int = self._query(loop, query, since, until).fetchone()[0]
        return count

    def first_open(self, loop: str) -> int | None:
        query = "SELECT min(position) FROM open_decisions WHERE loop = ?"
        position: int | None = self._query(loop, query).fetchone()[0]
        return position

    def examples(self, loop: str, *, after: int, limit: int) -> list[Example]:
        query = (
            f"SELECT {rows.OUTCOME}, {rows.REVISED}, {rows.DECISION} FROM outcomes o"
            " JOIN decisions d ON d.position = o.decision"
            " LEFT JOIN outcomes p ON p.loop = o.loop AND p.position = o.revises"
            " WHERE o.loop = ? AND o.position > ? ORDER BY o.position LIMIT ?"
        )
        if after < self._deleted(loop, "outcomes"):
            raise log_begins(loop, after, self.deletions(loop)[-1])
        live = {row[0]: self._example(loop, row) for row in self._query(loop, query, after, limit)}
        # After the query: what another process prunes in between is in both.
        archived = self._archived_examples(loop, after, limit, live)
        return [live.get(position) or archived[position] for position in sorted([*live, *archived])[:limit]]

    def log_start(self, loop: str) -> int:
        return self._deleted(loop, "outcomes") + 1

    def deletions(self, loop: str) -> list[Deletion]:
        return [rows.deletion(loop, row) for row in self._query(loop, DELETIONS)]

    def relearnings(self, loop: str, line: str) -> list[Relearning]:
        query = "SELECT position, at, since FROM relearnings WHERE loop = ? AND line = ? ORDER BY position"
        return [rows.relearning(loop, line, row) for row in self._query(loop, query, line)]

    def lines(self, loop: str) -> list[Line]:
        query = "SELECT name, origin, why, passes_over, opened_at FROM lines WHERE loop = ? ORDER BY opened_at, name"
        return [rows.line(loop, row) for row in self._query(loop, query)]

    def taints(self, loop: str) -> list[Taint]:
        query = "SELECT line, position, at FROM taints WHERE loop = ? ORDER BY line"
        return [rows.taint(loop, row) for row in self._query(loop, query)]

    def erasures(self) -> list[Erasure]:
        query = (
            "SELECT l.name, e.at, e.what, e.decisions, e.outcomes, e.rewards, e.done_at FROM erasures e"
            " JOIN loops l ON l.id = e.loop ORDER BY e.at, l.name"
        )
        return [rows.erasure(row) for row in self._reader.execute(query)]

    def log_position(self, loop: str) -> int:
        query = "SELECT coalesce(max(position), 0) FROM outcomes WHERE loop = ?"
        position: int = self._query(loop, query).fetchone()[0]
        return position

    def anything_due(self, now: int) -> bool:
        query = "SELECT 1 FROM open_decisions WHERE due <= ? LIMIT 1"
        return self._reader.execute(query, (now,)).fetchone() is not None

    def anything_waiting(self, loop: str, received_at: int) -> bool:
        query = "SELECT 1 FROM rewards WHERE loop = ? AND status = 'early' AND received_at <= ? LIMIT 1"
        return self._query(loop, query, received_at).fetchone() is not None

    def counts(self, loop: str) -> Counts:
        found = dict(self._query(loop, "SELECT name, value FROM counts WHERE loop = ?"))
        return msgspec.convert(found, Counts, strict=False)

    def checkpoints(self, loop: str, line: str) -> Iterator[Checkpoint]:
        query = (
            "SELECT line, position, settled, state, digest, fingerprint, at, began FROM checkpoints"
            " WHERE loop = ? AND line = ? ORDER BY position DESC"
        )
        for row in self._query(loop, query, line):
            yield rows.checkpoint(loop, row)

    def audits(self) -> list[AuditRecord]:
        query = "SELECT l.name, a.position, a.state, a.at FROM audits a JOIN loops l ON l.id = a.loop ORDER BY l.name"
        return [rows.audit(row) for row in self._reader.execute(query)]

    def stored_through(self, loop: str) -> dict[str, int]:
        query = "SELECT line, max(position) FROM checkpoints WHERE loop = ? GROUP BY line ORDER BY line"
        return dict(self._query(loop, query).fetchall())

    def last_checkpoint(self, loop: str) -> tuple[int, int]:
        query = (
            "SELECT position, at FROM checkpoints c WHERE c.loop = ? AND NOT EXISTS"
            " (SELECT 1 FROM lines l WHERE l.loop = c.loop AND l.name = c.line AND l.why = 'fork')"
            " ORDER BY position DESC, at DESC LIMIT 1"
        )
        position, at = self._query(loop, query).fetchone() or (0, 0)
        return position, at

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def _logged(self, loop: str, row: rows.Row) -> Logged | None:
        """Read the `DECISION` and `OUTCOME` columns; None where the archive says that it was erased since."""
        width = rows.DECISION.count(",") + 1
        decision = self._decision(loop, row[:width])
        settled = rows.outcome(loop, decision.decision_id, row[width:]) if row[width] else None
        settled = settled or self._archived_outcome(decision, row[:width])
        erased = decision.erased_at is not None or (settled is not None and settled.kind == "erased")
        return None if erased else Logged(decision, settled)

    def _decision(self, loop: str, row: rows.Row) -> Decision:
        self._check_there(loop, row)
        return rows.decision(loop, self._archive.whole(loop, row))

    def _check_there(self, loop: str, row: rows.Row) -> None:
        """Refuse a row of the `DECISION` columns that was deleted; its files may still be there for a moment."""
        if rows.is_deleted(row):
            raise gone(loop, row[1], row[0], row[2], self.deletions(loop))

    def _pruned(self, loop: str, decision_id: str) -> rows.Pruned:
        query = f"SELECT {rows.DECISION} FROM decisions d WHERE loop = ? AND decision_id = ? AND {rows.HAS_PRUNED}"
        row = self._query(loop, query, decision_id).fetchone()
        if row is None:
            return rows.Pruned()
        self._check_there(loop, row)
        return rows.pruned(row[4])

    def _deleted(self, loop: str, what: Literal["decisions", "outcomes"]) -> int:
        """Return through which position the loop's decisions were deleted, or through which outcome; 0 if not."""
        query = f"SELECT {what} FROM deletions WHERE loop = ? ORDER BY decisions DESC LIMIT 1"
        row = self._query(loop, query).fetchone()
        return row[0] if row else 0

    def _archived_outcome(self, decision: Decision, row: rows.Row) -> Outcome | None:
        """Return the newest archived outcome of the decision in a row of the `DECISION` columns, or None."""
        positions = rows.pruned(row[4]).outcomes[-1:] if rows.is_pruned(row) else []
        found = self._archive.rows(decision.loop, "outcomes", positions)
        return rows.outcome(decision.loop, decision.decision_id, rows.archived_outcome(found[0])) if found else None

    def _example(self, loop: str, row: rows.Row) -> Example:
        """Read an example from the `OUTCOME`, `REVISED` and `DECISION` columns; what was pruned is in the archive."""
        width = rows.OUTCOME.count(",") + 1
        entry, revised, made = row[:width], row[width : 2 * width], row[2 * width :]
        if entry[rows.REVISES] is not None and revised[0] is None:
            [found] = self._archive.rows(loop, "outcomes", [entry[rows.REVISES]])
            revised = rows.archived_outcome(found)
        self._check_there(loop, made)
        return rows.example(loop, entry, revised, self._archive.whole(loop, made))

    def _archived_examples(self, loop: str, after: int, limit: int, live: Container[int]) -> dict[int, Example]:
        """Return the examples of the next `limit` positions that are not live; positions have no gaps."""
        mark = self._query(loop, "SELECT outcomes FROM pruned WHERE loop = ?").fetchone()
        through = mark[0] if mark else 0
        wanted = range(after + 1, min(after + limit, through) + 1)
        return {position: self._archived_example(loop, position) for position in wanted if position not in live}

    def _archived_example(self, loop: str, position: int) -> Example:
        [found] = self._archive.rows(loop, "outcomes", [position])
        # From the log, not from the archive: whether it was erased is written there first.
        query = f"SELECT {rows.DECISION} FROM decisions d WHERE d.position = ?"
        made = self._reader.execute(query, (found[1],)).fetchone()
        return self._example(loop, (*rows.archived_outcome(found), *_NO_OUTCOME, *made))

    def _query(self, loop: str, query: str, *values: object) -> sqlite3.Cursor:
        # An unknown loop has no id, and so no rows.
        return self._reader.execute(query, (self._cursors.loop_ids.get(loop), *values))

    def _undone(self, error: BaseException) -> BaseException:
        """Roll the transaction back; returns what to raise."""
        # By then SQLite may have rolled back itself, as it does when a COMMIT finds the disk full.
        self._cursors = self._durable
        if self._writer is not None and self._writer.in_transaction:
            # Should this fail too, the next BEGIN does, and comes by here again.
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
        if not isinstance(error, Exception):
            return error
        return NotStored(f"nothing was written ({_reason(error)}); send the request again")


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"{error!r}: {_REASONS[code]}" if code in _REASONS else repr(error)


_REASONS = {
    sqlite3.SQLITE_BUSY: "another program holds the write lock of the file",
    sqlite3.SQLITE_FULL: "the disk has no room",
    sqlite3.SQLITE_IOERR: "the disk refuses",
    sqlite3.SQLITE_READONLY: "the file is read-only",
}
"""What a person can look for, by the primary code of SQLite's error."""

_NO_OUTCOME = (None,) * (rows.OUTCOME.count(",") + 1)
_WAY_OUT = (
    "it was left as it is. Keep a copy of the folder, then restore a backup, "
    "or try `sqlite3 honeyguide.db .recover`, or start on another folder with --data"
)


def check_file(path: Path) -> None:
    """Refuse a file that is damaged, foreign or newer than this program, without touching it.

    Reads the whole file (`PRAGMA quick_check`). Raises `StoreUnusable`.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StoreUnusable(f"{path} is damaged: it does not begin like a SQLite file; {_WAY_OUT}")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _check_content(path, connection)
    except sqlite3.Error as error:
        raise StoreUnusable(f"{path} is damaged ({error}): {_WAY_OUT}") from error


def _check_content(path: Path, connection: sqlite3.Connection) -> None:
    finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise StoreUnusable(f"{path} is damaged ({' '.join(finding.split())}): {_WAY_OUT}")
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a SQLite file, but not one of Honeyguide's: name another folder with --data")
    applied = {migration.name for migration in migrations.applied(Database(connection))}
    unknown = applied - MIGRATION_NAMES
    if unknown:
        raise StoreUnusable(
            f"{path} was written by a newer Honeyguide (migrations {', '.join(sorted(unknown))}): upgrade this program"
        )


def _check_migrated(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if migrations.pending(Database(connection)):
            raise StoreUnusable(
                f"{path} was written by an older Honeyguide and is not migrated yet: "
                "copy the folder, start this version's server on it once, and try again"
            )


def _prepare(path: Path) -> None:
    with contextlib.closing(connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrations.apply(Database(connection))
    # A file whose name is not on disk is lost with the power, however well its content was synced.
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file to write it: every commit is synced."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5, cached_statements=1024)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def _run(operation: Operation[object], tx: SqliteTransaction) -> object:
    try:
        return operation(tx)
    except HoneyguideError as error:
        return error
