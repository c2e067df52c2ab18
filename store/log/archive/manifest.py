"""The archive's manifest: one line of JSON for each segment that was sealed or deleted, only ever added to.

A line counts once its newline is on disk; what a crash left of an unfinished one is cut off by the next append.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from filelock import FileLock, Timeout

from store.errors import StoreUnusable
from store.log import durable

LogName: TypeAlias = Literal["decisions", "rewards", "outcomes", "activations"]

FOLDER = "archive"
FILE = "manifest.ndjson"
SCHEMA = 1
"""Raised when the columns of a segment change; older ones stay readable."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="sealed"):
    """A segment: the rows of one log of one loop with positions `first` to `last`, in a file named from the archive.

    `day` is the UTC day in which they were appended. `supersedes` names the segment that this one replaces.
    """

    loop: str
    day: str
    log: LogName
    file: str
    rows: int
    first: int
    last: int
    bytes: int
    sha256: str
    sealed_at: int
    schema: int = SCHEMA
    supersedes: str | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="deleted"):
    """A segment that was deleted by a retention rule."""

    file: str
    deleted_at: int


Entry: TypeAlias = Sealed | Deleted


class Manifest:
    """The entries of a data folder's archive, as they were when last read."""

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER
        self._path = self.folder / FILE
        self._whole = 0
        self.segments: list[Sealed] = []
        self.read()

    def read(self) -> None:
        """Read the manifest again. Raises `StoreUnusable` where it is damaged, or newer than this program."""
        content = self._path.read_bytes() if self._path.exists() else b""
        self._whole = content.rfind(b"\n") + 1
        entries = list(self._entries(content[: self._whole].splitlines()))
        self.segments = current(entries)
        self._of: dict[tuple[str, LogName], list[Sealed]] = defaultdict(list)
        for segment in self.segments:
            self._of[segment.loop, segment.log].append(segment)
        self._last: dict[tuple[str, LogName], int] = defaultdict(int)
        for entry in entries:
            if isinstance(entry, Sealed):
                self._last[entry.loop, entry.log] = max(self._last[entry.loop, entry.log], entry.last)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries durably; whoever adds holds `lock_archive`."""
        content = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        is_new = not self._path.exists()
        durable.append(self._path, content, at=self._whole)
        if is_new:
            durable.sync(self.folder)
        self.read()

    def content(self) -> bytes:
        """Return the manifest's finished lines as they are on disk."""
        return self._path.read_bytes()[: self._whole] if self._whole else b""

    def path(self, segment: Sealed) -> Path:
        """Where a segment's file is."""
        return self.folder / segment.file

    def last(self, loop: str, log: LogName) -> int:
        """Return the newest position of a loop's log that was ever sealed, 0 when there is none."""
        return self._last[loop, log]

    def of(self, loop: str, log: LogName) -> list[Sealed]:
        """Return the segments of a loop's log, by position."""
        return self._of[loop, log]

    def holding(self, loop: str, log: LogName, position: int) -> Sealed | None:
        """Return the segment with that position of a loop's log, or None."""
        segments = self._of[loop, log]
        at = bisect.bisect_right(segments, position, key=lambda segment: segment.first) - 1
        return segments[at] if at >= 0 and position <= segments[at].last else None

    def _entries(self, lines: Iterable[bytes]) -> Iterable[Entry]:
        for number, line in enumerate(lines, start=1):
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError as error:
                raise StoreUnusable(
                    f"{self._path} is damaged in line {number} ({error}): it was left as it is; restore a backup"
                ) from error
            if isinstance(entry, Sealed) and entry.schema > SCHEMA:
                raise StoreUnusable(
                    f"{self._path} names a segment of schema {entry.schema}, this program reads up to {SCHEMA}: upgrade"
                )
            yield entry


def current(entries: Iterable[Entry]) -> list[Sealed]:
    """Return the segments that count, by loop, log and position: neither superseded nor deleted."""
    found: dict[str, Sealed] = {}
    for entry in entries:
        if isinstance(entry, Deleted):
            found.pop(entry.file, None)
        else:
            found.pop(entry.supersedes or "", None)
            found[entry.file] = entry
    return sorted(found.values(), key=lambda segment: (segment.loop, segment.log, segment.first))


def clear(manifest: Manifest) -> None:
    """Remove what a run that did not finish left: files that no entry names, and folders without any."""
    known = {segment.file for segment in manifest.segments}
    for path in manifest.folder.glob("loop=*/day=*/*"):
        if path.suffix in {".part", ".parquet"} and str(path.relative_to(manifest.folder)) not in known:
            durable.remove(path)
    for folder in manifest.folder.glob("loop=*/day=*"):
        if not any(folder.iterdir()):
            folder.rmdir()


def lock_archive(data: Path) -> FileLock:
    """Take the right to add to a folder's archive, or to copy it; raises `StoreUnusable` when another has it."""
    lock = FileLock(data / "archive.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise StoreUnusable(
            f"the archive of {data} is in use by another archive or backup command: wait until it is done"
        ) from None
    except OSError as error:
        raise StoreUnusable(f"{data} cannot be used ({error}): name a writable data folder with --data") from error
    return lock
