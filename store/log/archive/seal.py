"""Sealing: the rows of whole days become segments; the log is only read, so a server may be running on it.

Each segment is written beside its place, synced, compared with the log row by row, renamed and then entered into the
manifest. Until it is entered it does not exist: the next run removes what a crash left and seals the same rows again.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from store.errors import InvalidInput, StoreUnusable
from store.log import durable
from store.log.archive import segments
from store.log.archive.manifest import LogName, Manifest, Sealed, clear, lock_archive
from store.log.rows import Row
from store.records import SECOND, Clock

MOST_ROWS = 262_144
"""Rows to a segment; a day with more has several."""

_DAY = 86_400 * SECOND
_QUERIES: dict[LogName, str] = {
    # The plus keeps the indexes by loop out: they would sort all of the loop's rows.
    "decisions": "SELECT {columns} FROM decisions WHERE +loop = ?1 AND position > ?2 AND position <= ?3"
    " ORDER BY position",
    "rewards": "SELECT {columns} FROM rewards WHERE +loop = ?1 AND position > ?2 AND position <= ?3 ORDER BY position",
    "outcomes": "SELECT {columns} FROM outcomes WHERE loop = ?1 AND position > ?2 AND position <= ?3 ORDER BY position",
    "activations": "SELECT decision, a.at FROM activations a JOIN decisions d ON d.position = a.decision"
    " WHERE +d.loop = ?1 AND a.decision > ?2 AND a.decision <= ?3 ORDER BY a.decision",
}
_NEWEST: dict[LogName, str] = {
    "decisions": "SELECT max(position) FROM decisions",
    "rewards": "SELECT max(position) FROM rewards",
    "outcomes": "SELECT max(position) FROM outcomes WHERE loop = ?1",
    "activations": "SELECT max(position) FROM decisions",
}
_UNFINISHED: dict[LogName, str] = {
    # The status of a waiting reward still changes, and an open decision may still be activated.
    "rewards": "SELECT min(position) FROM rewards WHERE loop = ?1 AND status = 'early'",
    "activations": "SELECT min(position) FROM open_decisions WHERE loop = ?1",
}
_APPENDED: dict[LogName, str] = {"decisions": "at", "rewards": "received_at", "outcomes": "at", "activations": "at"}
"""The column that says on which day a row was appended."""


def seal(
    data: Path, connection: sqlite3.Connection, clock: Clock, *, loops: Sequence[str] = (), until: date | None = None
) -> list[Sealed]:
    """Seal the whole days that are over, through `until`, of these loops or of all; returns the new segments.

    Raises:
        InvalidInput: when a loop does not exist.
        StoreUnusable: when another command has the archive, it does not belong to this log, or it cannot be written.

    """
    lock = lock_archive(data)
    try:
        manifest = Manifest(data)
        clear(manifest)
        ids = loop_ids(connection, loops)
        now = clock()
        end = now // _DAY * _DAY if until is None else min(now // _DAY * _DAY, _end_of(until))
        return [
            segment
            for loop, loop_id in ids.items()
            for log in _QUERIES
            for segment in _Sealer(manifest, connection, loop, loop_id, log, now).seal(end)
        ]
    except OSError as error:
        raise StoreUnusable(
            f"the archive in {manifest.folder} cannot be written ({error}): make room, and run again"
        ) from error
    finally:
        lock.release()


def loop_ids(connection: sqlite3.Connection, loops: Sequence[str]) -> dict[str, int]:
    """Return the ids of these loops, or of all. Raises `InvalidInput` for one that does not exist."""
    found = dict(connection.execute("SELECT name, id FROM loops ORDER BY name"))
    for name in loops:
        if name not in found:
            raise InvalidInput(
                f"there is no loop {name!r} in this data folder; its loops are: {', '.join(found) or 'none'}"
            )
    return {name: found[name] for name in loops or found}


class _Sealer:
    """Seals one log of one loop."""

    def __init__(
        self, manifest: Manifest, connection: sqlite3.Connection, loop: str, loop_id: int, log: LogName, now: int
    ) -> None:
        self._manifest, self._connection = manifest, connection
        self._loop, self._loop_id, self._log, self._now = loop, loop_id, log, now

    def seal(self, end: int) -> Iterator[Sealed]:
        """Seal what was appended before `end`, in microseconds; yields each segment once it is in the manifest."""
        sealed = self._manifest.last(self._loop, self._log)
        newest = self._one(_NEWEST[self._log]) or 0
        if newest < sealed:
            raise StoreUnusable(
                f"the archive has the {self._log} of loop {self._loop!r} through position {sealed}, and the log ends "
                f"at {newest}: they are not of the same folder. Restore both from one backup"
            )
        unfinished = self._one(_UNFINISHED[self._log]) if self._log in _UNFINISHED else None
        last = newest if unfinished is None else unfinished - 1
        for (day, _), rows in groupby(self._labelled(sealed, last, end), key=lambda labelled: labelled[0]):
            yield self._seal_one(day, (row for _, row in rows))

    def _labelled(self, after: int, last: int, end: int) -> Iterator[tuple[tuple[int, int], Row]]:
        """Yield the rows with the day and the number of the segment that they belong in.

        A row's day is that of the newest row so far: clocks step back now and then, and the log's order counts. One
        that claims to be from the future does not take the others there.
        """
        appended = list(segments.COLUMNS[self._log]).index(_APPENDED[self._log])
        day = count = 0
        for row in self._rows(after, last):
            if end <= row[appended] < self._now + _DAY:
                return
            found = max(day, min(row[appended], end - 1) // _DAY)
            count = count + 1 if found == day else 0
            day = found
            yield (day, count // MOST_ROWS), row

    def _seal_one(self, day: int, rows: Iterable[Row]) -> Sealed:
        name = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
        place = self._manifest.folder / f"loop={self._loop}" / f"day={name}"
        durable.make_folder(place, below=self._manifest.folder.parent)
        part = place / f"{self._log}.part"
        count, first, last = segments.write_segment(part, self._log, rows)
        durable.sync(part)
        self._compare(part, first, last)
        path = place / f"{self._log}-{first}-{last}.parquet"
        durable.rename(part, path)
        segment = Sealed(
            loop=self._loop,
            day=name,
            log=self._log,
            file=str(path.relative_to(self._manifest.folder)),
            rows=count,
            first=first,
            last=last,
            bytes=path.stat().st_size,
            sha256=durable.sha256(path),
            sealed_at=self._now,
        )
        self._manifest.append([segment])
        return segment

    def _compare(self, part: Path, first: int, last: int) -> None:
        try:
            same = all(
                sealed == live
                for sealed, live in zip(
                    segments.read_segment(part, self._log), self._rows(first - 1, last), strict=True
                )
            )
        except ValueError:  # one has more rows than the other
            same = False
        if not same:
            raise StoreUnusable(f"{part} does not hold what the log holds: nothing was sealed of it; run again")

    def _rows(self, after: int, last: int) -> Iterator[Row]:
        query = _QUERIES[self._log].format(columns=", ".join(segments.COLUMNS[self._log]))
        return self._connection.execute(query, (self._loop_id, after, last))

    def _one(self, query: str) -> int | None:
        found: int | None = self._connection.execute(query, (self._loop_id,) if "?1" in query else ()).fetchone()[0]
        return found


def _end_of(day: date) -> int:
    return (day - date(1970, 1, 1) + timedelta(days=1)).days * _DAY


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that reads a log's file and cannot write it."""
    if not os.access(path, os.R_OK):
        raise StoreUnusable(f"{path} does not exist or cannot be read: name the data folder of a server with --data")
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    ) as c:
        yield c
