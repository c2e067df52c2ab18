"""A run of the archive over a data folder: seal and prune, within what each loop still needs."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec

from bandit.learn.lines import line_for
from bandit.settings import read_config
from store.errors import StoreUnusable
from store.log.archive.prune import Limit, prune, vacuum
from store.log.archive.seal import reading, seal
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store
from store.records import SECOND, Clock, LoopRecord

_DAY = 86_400 * SECOND


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: seal these loops (none: all) through a day; prune them."""

    loops: tuple[str, ...] = ()
    until: date | None = None
    prune: bool = False
    keep_days: int = 0
    vacuum: bool = False

    @property
    def writes(self) -> bool:
        """Whether the log itself is changed, so that no server may run on it."""
        return self.prune or self.vacuum


def archive_folder(data: Path, job: Job, clock: Clock) -> Iterator[str]:
    """Do the job; yields a line about each thing done.

    Raises:
        InvalidInput: when a loop does not exist.
        StoreUnusable: when there is no log, the archive is damaged or in use, or a server runs on a folder to prune.

    """
    if not (data / FILE_NAME).exists():
        raise StoreUnusable(f"{data / FILE_NAME} does not exist: name the data folder of a server with --data")
    if not job.writes:
        SqliteStore(data, read_only=True).close()  # refuses a damaged, foreign or older file
        yield from _seal(data, job, clock)
        return
    lock = lock_folder(data)
    try:
        with closing(SqliteStore(data)) as store:
            yield from _seal(data, job, clock)
            yield from _shrink(data, store, job, clock)
    finally:
        lock.release()


def limit_of(store: Store, record: LoopRecord, now: int, keep_days: int) -> Limit:
    """Return what a loop needs at hand: its correction window, `keep_days` more, and outcomes its line would fold."""
    config = read_config(record.config)
    reach = round(config.reward.correction_window_s * SECOND) + keep_days * _DAY
    newest = next(store.checkpoints(record.name, line_for(store, record.name, config).name), None)
    return Limit(due_before=now - reach, checkpoint=newest.position if newest else 0)


def _seal(data: Path, job: Job, clock: Clock) -> Iterator[str]:
    with reading(data / FILE_NAME) as connection:
        sealed = seal(data, connection, clock, loops=job.loops, until=job.until)
    for segment in sealed:
        yield f"sealed {segment.file} (rows: {segment.rows:,}, bytes: {segment.bytes:,})"
    if not sealed:
        yield "nothing new to seal: only whole days are, in UTC, once they are over"


def _shrink(data: Path, store: SqliteStore, job: Job, clock: Clock) -> Iterator[str]:
    with closing(connect(data / FILE_NAME)) as connection:
        if job.prune:
            records = [record for record in store.loops() if not job.loops or record.name in job.loops]
            limits = {record.name: limit_of(store, record, clock(), job.keep_days) for record in records}
            for loop, count in prune(data, connection, limits).items():
                yield f"pruned {count:,} decisions of loop {loop!r}"
        if job.vacuum:
            vacuum(data, connection)
            yield f"{FILE_NAME} has {(data / FILE_NAME).stat().st_size:,} bytes now"
