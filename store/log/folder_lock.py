"""One server per data folder: a lock that the operating system drops when its holder dies."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from store.errors import StoreUnusable


def lock_folder(folder: Path) -> FileLock:
    """Take the folder, creating it if need be; hold on to the result as long as the folder is in use.

    Raises `StoreUnusable` when another process holds it, or when it cannot be created.
    """
    holder = folder / "holder.pid"
    lock = FileLock(folder / "lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(str(os.getpid()))
    except Timeout:
        raise StoreUnusable(
            f"{folder} is in use by another Honeyguide server (process {_read(holder)}): "
            "stop that one first, or name another folder with --data"
        ) from None
    except OSError as error:
        raise StoreUnusable(f"{folder} cannot be used ({error}): name a folder that is writable with --data") from error
    return lock


def _read(holder: Path) -> str:
    try:
        return holder.read_text()
    except OSError:
        return "unknown"
