"""Files that are whole or not there, also after a power loss: written, synced, renamed, and the folder synced."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


def sync(path: Path) -> None:
    """Return once a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename(part: Path, path: Path) -> None:
    """Give a finished file or folder its name, durably; a file of that name is replaced."""
    part.rename(path)
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a new file and sync it."""
    path.write_bytes(content)
    sync(path)


def remove(path: Path) -> None:
    """Remove a file, durably."""
    path.unlink()
    sync(path.parent)


def append(path: Path, content: bytes, *, at: int) -> None:
    """Write at that offset, cut off what stood behind it, and sync; the file is made if need be."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(handle, at)
        os.pwrite(handle, content, at)
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path, *, below: Path) -> None:
    """Make a folder with those between it and `below`, durably."""
    missing = [folder for folder in (path, *path.parents) if below in folder.parents and not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        sync(folder.parent)


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file, sync it, and return the SHA-256 and the number of bytes of what was copied."""
    found, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        for chunk in _chunks(source):
            file.write(chunk)
            found.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return found.hexdigest(), size


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal."""
    found = hashlib.sha256()
    for chunk in _chunks(path):
        found.update(chunk)
    return found.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
