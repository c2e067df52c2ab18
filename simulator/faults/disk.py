"""A folder on a disk that may lose power: what is synced stays, of the rest anything may be there or not.

The model is what POSIX promises and no more. A write is safe once a sync of its file began after it and ended. A name
is safe once its folder was synced. Of what is not safe, a power cut keeps nothing, a beginning, or any of its sectors.
"""

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

SECTOR = 512
"""Bytes that a disk writes whole."""

Loss: TypeAlias = Literal["all", "tail", "sectors"]
"""What of the unsynced a power cut takes: all of it, all after a point in time, or any sectors of it."""


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes at an offset."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The file was made this long."""

    size: int


Change: TypeAlias = Written | Cut


@dataclass(slots=True)
class File:
    """A file: its content as far as it is safe, and the changes since, oldest first.

    `synced` counts the changes that are safe.
    """

    safe: bytearray = field(default_factory=bytearray)
    unsafe: list[Change] = field(default_factory=list)
    synced: int = 0

    def mark(self) -> int:
        """Return a place in the file's history: all that was written until now."""
        return self.synced + len(self.unsafe)

    def sync(self, mark: int) -> None:
        """Make safe what was written until `mark`."""
        count = max(0, mark - self.synced)
        for change in self.unsafe[:count]:
            _apply(self.safe, change)
        del self.unsafe[:count]
        self.synced += count

    def after_cut(self, loss: Loss, rng: random.Random) -> bytes:
        """Return what is there when the power comes back."""
        content = bytearray(self.safe)
        for change in _survivors(self.unsafe, loss, rng):
            _apply(content, change)
        return bytes(content)


class Folder:
    """A folder: files by name, and which of the names are safe."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self._safe: dict[str, File] = {}
        self._unsafe: list[tuple[str, File | None]] = []

    def create(self, name: str) -> None:
        """A new, empty file has this name from now on, unless a file has it already."""
        if name not in self.files:
            self._name(name, File())

    def remove(self, name: str) -> None:
        """Nothing has this name from now on."""
        self._name(name, None)

    def sync(self) -> None:
        """Make the names safe, not what is in the files."""
        self._safe, self._unsafe = dict(self.files), []

    def after_cut(self, loss: Loss, rng: random.Random) -> dict[str, bytes]:
        """Return the files that are there when the power comes back."""
        names = dict(self._safe)
        kept = 0 if loss == "all" else rng.randint(0, len(self._unsafe))
        for name, file in self._unsafe[:kept]:
            _rename(names, name, file)
        return {name: file.after_cut(loss, rng) for name, file in names.items()}

    def _name(self, name: str, file: File | None) -> None:
        _rename(self.files, name, file)
        self._unsafe.append((name, file))


def _rename(names: dict[str, File], name: str, file: File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Cut):
        content[change.size :] = bytes(max(0, change.size - len(content)))
        return
    gap = change.offset - len(content)
    content += bytes(max(0, gap))
    content[change.offset : change.offset + len(change.data)] = change.data


def _survivors(changes: list[Change], loss: Loss, rng: random.Random) -> list[Change]:
    if loss == "all":
        return []
    if loss == "tail":
        return changes[: rng.randint(0, len(changes))]
    pieces = [piece for change in changes for piece in _sectors(change)]
    return [piece for piece in pieces if rng.random() < 0.5]


def _sectors(change: Change) -> list[Change]:
    if isinstance(change, Cut):
        return [change]
    first = SECTOR - change.offset % SECTOR
    bounds = [0, *range(first, len(change.data), SECTOR), len(change.data)]
    return [Written(change.offset + a, change.data[a:b]) for a, b in pairwise(bounds)]
