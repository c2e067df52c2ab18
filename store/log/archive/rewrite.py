"""Rewriting: segments with rows of erased decisions are replaced by others, in which these rows are erased too.

The log says already what is erased, so readers see no difference. A segment's replacement is whole on disk before a
line of the manifest puts it in its place, and only then is the old file removed. Broken off anywhere, it is done again.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from store.errors import StoreUnusable
from store.lineage import Erasure
from store.log import durable, rows
from store.log.archive import segments
from store.log.archive.manifest import LogName, Manifest, Sealed, clear
from store.log.archive.prune import check_segment
from store.log.archive.seal import loop_ids, reading
from store.log.rows import Row
from store.log.sqlite import FILE_NAME

_OUTCOMES = "SELECT position FROM outcomes WHERE decision = ?"
_REWARDS = "SELECT position FROM rewards WHERE loop = ? AND decision_id = ?"


def erase_sealed(data: Path, erasures: Sequence[Erasure], now: int) -> Iterator[Sealed]:
    """Erase in the archive what the log says was erased; yields the segments that replace others.

    The caller has the folder's lock and the archive's. Raises `StoreUnusable` when a segment is not what was sealed, or
    the archive cannot be written.
    """
    manifest = Manifest(data)
    try:
        clear(manifest)
        with reading(data / FILE_NAME) as connection:
            positions_of = [(erasure, _positions(connection, erasure)) for erasure in erasures]
        for erasure, found in positions_of:
            for log, positions in found.items():
                for old in _holding(manifest, erasure.loop, log, positions):
                    yield from _rewritten(manifest, old, positions, erasure.at, now)
    except OSError as error:
        raise StoreUnusable(
            f"the archive in {manifest.folder} cannot be written ({error}): make room, and run again"
        ) from error


def _positions(connection: sqlite3.Connection, erasure: Erasure) -> dict[LogName, set[int]]:
    """Return where in each log the rows are that were erased."""
    [loop_id] = loop_ids(connection, [erasure.loop]).values()
    found: dict[LogName, set[int]] = {"decisions": set(), "outcomes": set(), "rewards": set()}
    query = "SELECT position, decision_id, request FROM decisions WHERE +loop = ? AND answer = ?"
    for position, decision_id, request in connection.execute(query, (loop_id, rows.erased_answer(erasure.at))):
        pruned = rows.pruned(request)
        found["decisions"].add(position)
        found["outcomes"].update(pruned.outcomes, _column(connection.execute(_OUTCOMES, (position,))))
        found["rewards"].update(pruned.rewards, _column(connection.execute(_REWARDS, (loop_id, decision_id))))
    return found


def _column(found: sqlite3.Cursor) -> Iterator[int]:
    return (position for (position,) in found)


def _holding(manifest: Manifest, loop: str, log: LogName, positions: Collection[int]) -> list[Sealed]:
    found = (manifest.holding(loop, log, position) for position in sorted(positions))
    return list({segment.file: segment for segment in found if segment is not None}.values())


def _rewritten(manifest: Manifest, old: Sealed, positions: Collection[int], at: int, now: int) -> Iterator[Sealed]:
    """Yield the segment's replacement, unless what it has at these positions is erased already."""
    check_segment(manifest, old)
    source, log = manifest.path(old), old.log
    if all(row == _erased(log, row, at) for row in segments.read_segment(source, log) if row[0] in positions):
        return
    part, path = source.with_name(f"{log}.part"), source.with_name(_next_name(source))
    found = segments.read_segment(source, log)
    segments.write_segment(part, log, (_erased(log, row, at) if row[0] in positions else row for row in found))
    durable.sync(part)
    durable.rename(part, path)
    new = msgspec.structs.replace(
        old,
        file=str(path.relative_to(manifest.folder)),
        bytes=path.stat().st_size,
        sha256=durable.sha256(path),
        sealed_at=now,
        supersedes=old.file,
    )
    manifest.append([new])
    durable.remove(source)
    yield new


def _next_name(path: Path) -> str:
    stem, _, generation = path.stem.partition(".")
    return f"{stem}.{int(generation or 1) + 1}{path.suffix}"


def _erased(log: LogName, row: Row, at: int) -> Row:
    """Return a row of the archive as it is in the log once it is erased."""
    named = dict(zip(segments.COLUMNS[log], row, strict=True))
    if log == "decisions":
        named |= {"request": b"", "answer": rows.erased_answer(at)}
    elif log == "outcomes":
        named |= {"kind": "erased", "value": 0.0, "previous": None, "earned": None}
    else:
        named |= {"value": 0.0, "slot": None, "component": None, "status": "erased"}
        named["occurred_at"] = named["received_at"]
    return tuple(named.values())
