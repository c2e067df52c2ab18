"""Rows that were pruned from the log, read back from the archive by their position, as if they were still there."""

import bisect
import functools
from collections.abc import Iterable
from pathlib import Path

from store.errors import Gone, StoreUnusable
from store.log import rows
from store.log.archive.manifest import LogName, Manifest, Sealed
from store.log.rows import Row

_GROUPS_KEPT = 32
"""Row groups kept decoded: readers go through a few logs at a few places, in order."""


class Archive:
    """The sealed segments below a data folder; nothing is opened before a row is asked for."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._group = functools.lru_cache(maxsize=_GROUPS_KEPT)(self._read_group)
        self._bounds = functools.lru_cache(maxsize=1024)(self._read_bounds)

    def whole(self, loop: str, row: Row) -> Row:
        """Return a row of the `DECISION` columns; one whose content was pruned is replaced by the row as it was."""
        return self.rows(loop, "decisions", [row[0]])[0] if rows.is_pruned(row) else row

    def rows(self, loop: str, log: LogName, positions: Iterable[int]) -> list[Row]:
        """Return the rows at these positions, in the order asked for.

        Raises `StoreUnusable` when one of them is in no segment, or its segment is damaged, and `Gone` when another
        process deleted the segment after whoever asks had read that it is there.
        """
        return [self._row(loop, log, position) for position in positions]

    def _row(self, loop: str, log: LogName, position: int) -> Row:
        try:
            return self._sealed_row(loop, log, position)
        except StoreUnusable:
            self._manifest.read()
            if self._manifest.holding(loop, log, position) is None and position <= self._manifest.last(loop, log):
                raise Gone(
                    f"row {position} of the {log} of loop {loop!r} was deleted by a retention rule: begin again, with "
                    "what is left"
                ) from None
            raise

    def _sealed_row(self, loop: str, log: LogName, position: int) -> Row:
        segment = self._segment(loop, log, position)
        try:
            return self._row_of(segment, loop, log, position)
        except StoreUnusable:
            self._manifest.read()  # another process may have put a file in the place of that one since
            if (other := self._manifest.holding(loop, log, position)) == segment:
                raise
            return self._row_of(other, loop, log, position)

    def _row_of(self, segment: Sealed | None, loop: str, log: LogName, position: int) -> Row:
        if segment is not None:
            firsts, lasts = self._bounds(segment.file)
            group = bisect.bisect_left(lasts, position)
            if group < len(firsts) and position in (found := self._group(segment.file, log, group)):
                return found[position]
        raise StoreUnusable(
            f"row {position} of the {log} of loop {loop!r} was pruned, and no segment in {self._manifest.folder} "
            "has it: put the folder's archive back from a backup"
        )

    def _segment(self, loop: str, log: LogName, position: int) -> Sealed | None:
        found = self._manifest.holding(loop, log, position)
        if found is None:
            self._manifest.read()  # another process may have sealed and pruned since
            found = self._manifest.holding(loop, log, position)
        return found

    @functools.cached_property
    def _manifest(self) -> Manifest:
        return Manifest(self._data)

    def _read_bounds(self, file: str) -> tuple[list[int], list[int]]:
        from store.log.archive.segments import bounds  # noqa: PLC0415  # a server without an archive needs no Parquet

        found = bounds(self._manifest.folder / file)
        return [first for first, _ in found], [last for _, last in found]

    def _read_group(self, file: str, log: LogName, group: int) -> dict[int, Row]:
        from store.log.archive.segments import read_group  # noqa: PLC0415  # as above

        return {row[0]: row for row in read_group(self._manifest.folder / file, log, group)}
