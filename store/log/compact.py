"""Compaction: the log's file written anew, so that what was removed from it is in no byte of it any more.

SQLite leaves removed content in free pages and in gaps of others, also that which was pruned or superseded long before;
`PRAGMA secure_delete` overwrites only what is removed from then on. A file that is written anew has none of it.
"""

from contextlib import closing
from pathlib import Path

from store.errors import StoreUnusable
from store.log.archive.prune import vacuum
from store.log.sqlite import FILE_NAME, connect


def compact(data: Path) -> None:
    """Write the file anew, and empty its write-ahead log; the caller has the folder's lock.

    Raises `StoreUnusable` when there is no room for it, or another program reads the file meanwhile.
    """
    with closing(connect(data / FILE_NAME)) as connection:
        try:
            vacuum(data, connection)
        except StoreUnusable as error:
            raise StoreUnusable(
                f"{data / FILE_NAME} cannot be written anew: what was erased is gone for readers, and bytes of "
                f"it are left in the file until the next run. {error}"
            ) from error
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreUnusable(
            f"another program reads the log of {data}, so that its write-ahead log cannot be emptied: let it end, and "
            "run again"
        )
