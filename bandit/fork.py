"""A run that opens lines over a data folder, which no server may use meanwhile."""

from contextlib import closing
from pathlib import Path

from bandit.learn.fork import Fork, Forked, fork
from bandit.learn.replay import Progress
from bandit.service.runtime import CHECKPOINTS_KEPT
from store.errors import StoreUnusable
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore
from store.records import Clock


def fork_line(data: Path, wanted: Fork, clock: Clock, progress: Progress) -> Forked:
    """Fork a line of a loop of the folder; raises what `fork` does, and `StoreUnusable` where a server runs on it."""
    if not (data / FILE_NAME).exists():
        raise StoreUnusable(f"{data / FILE_NAME} does not exist: name the data folder of a server with --data")
    lock = lock_folder(data)
    try:
        with closing(SqliteStore(data)) as store:
            return fork(store, wanted, now=clock(), keep=CHECKPOINTS_KEPT, progress=progress)
    finally:
        lock.release()
