"""A run of the archive over a data folder: seal, prune and delete, within what each loop still needs."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec

from bandit.learn.lines import line_for
from bandit.learn.reach import oldest_state
from bandit.ranking.guards import FrequencyCap, of_kind
from bandit.service.past import LOOKS_BACK
from bandit.settings import read_config
from store.errors import StoreUnusable
from store.log.archive import delete as deleting
from store.log.archive.delete import Done
from store.log.archive.prune import Limit, prune, vacuum
from store.log.archive.seal import reading, seal
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store
from store.records import SECOND, Clock, LoopRecord

_DAY = 86_400 * SECOND


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: seal these loops (none: all) through a day; prune them; delete what is from before another day."""

    loops: tuple[str, ...] = ()
    until: date | None = None
    prune: bool = False
    keep_days: int = 0
    delete_before: date | None = None
    vacuum: bool = False

    @property
    def writes(self) -> bool:
        """Whether the log itself is changed, so that no server may run on it."""
        return self.prune or self.vacuum or self.delete_before is not None


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


def deletion_limit_of(store: Store, record: LoopRecord, now: int, before: date) -> deleting.Limit:
    """Return what may go of a loop: not what its windows reach, its guards look back to or its line would fold."""
    config = read_config(record.config)
    line, budget = line_for(store, record.name, config).name, config.exploration.budget
    windows = [cap.window_s for cap in of_kind(config.guards, FrequencyCap)] + ([budget.window_s] if budget else [])
    oldest = oldest_state(store, record.name, line)
    return deleting.Limit(
        before=before,
        due_before=now - round(config.reward.correction_window_s * SECOND),
        at_before=now - round(max(windows, default=0.0) * LOOKS_BACK * SECOND),
        audited=max((audit.position for audit in store.audits()), default=0),
        outcomes=oldest,
        state=f"the oldest state of line {line} that leads on" if oldest else f"any state of line {line} that leads on",
    )


def _seal(data: Path, job: Job, clock: Clock) -> Iterator[str]:
    with reading(data / FILE_NAME) as connection:
        sealed = seal(data, connection, clock, loops=job.loops, until=job.until)
    for segment in sealed:
        yield f"sealed {segment.file} (rows: {segment.rows:,}, bytes: {segment.bytes:,})"
    if not sealed:
        yield "nothing new to seal: only whole days are, in UTC, once they are over"


def _shrink(data: Path, store: SqliteStore, job: Job, clock: Clock) -> Iterator[str]:
    with closing(connect(data / FILE_NAME)) as connection:
        records = [record for record in store.loops() if not job.loops or record.name in job.loops]
        if job.prune:
            limits = {record.name: limit_of(store, record, clock(), job.keep_days) for record in records}
            for loop, count in prune(data, connection, limits).items():
                yield f"pruned {count:,} decisions of loop {loop!r}"
        if job.delete_before is not None:
            may_go = {r.name: deletion_limit_of(store, r, clock(), job.delete_before) for r in records}
            for loop, done in deleting.delete(data, store, connection, may_go, clock()).items():
                yield from _told(store, loop, done)
        if job.vacuum:
            vacuum(data, connection)
            yield f"{FILE_NAME} has {(data / FILE_NAME).stat().st_size:,} bytes now"


def _told(store: Store, loop: str, done: Done) -> Iterator[str]:
    if done.segments:
        days = sorted({segment.day for segment in done.segments})
        count, size = sum(s.rows for s in done.segments), sum(s.bytes for s in done.segments)
        yield (
            f"deleted {len(done.segments)} files of {days[0]} to {days[-1]} of loop {loop!r} (rows: {count:,}, bytes: "
            f"{size:,}); its outcome log begins at {store.log_start(loop):,} now"
        )
    else:
        yield f"nothing to delete of loop {loop!r}"
    for stays in done.stays:
        yield f"{stays.day} of its {stays.log} stays: {stays.why}"
