"""Backups: a folder with a consistent copy of a log and its archive, and a manifest that says what belongs in it.

The log is copied within one read transaction, a few pages at a time: a server that runs on it goes on writing, and the
copy is the log as it was when the backup began.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from sqlite_utils import Database

from store.errors import InvalidInput, StoreUnusable
from store.log import durable
from store.log.archive import manifest as archive
from store.log.archive.manifest import Manifest, lock_archive
from store.log.archive.seal import reading
from store.log.schema import migrations
from store.log.sqlite import FILE_NAME, check_file
from store.records import Clock

FORMAT = 1
MANIFEST = "backup.json"

_PAGES = 256
_PAUSE_S = 0.002
"""A MiB, then a pause: the server's syncs wait behind one step of the copy, not behind the whole."""


class File(msgspec.Struct, frozen=True):
    """A file of a backup, by its path in it."""

    path: str
    bytes: int
    sha256: str


class Position(msgspec.Struct, frozen=True):
    """How far a loop's logs go in a backup: the newest decision's position, and the newest outcome's."""

    loop: str
    decisions: int
    outcomes: int


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `migrations` are those of its log; `format` is raised when this record changes."""

    format: int
    made_at: int
    migrations: list[str]
    positions: list[Position]
    files: list[File]


def backup(data: Path, out: Path, clock: Clock) -> Backup:
    """Copy a data folder to the new folder `out`, which is there when it is whole.

    Raises:
        InvalidInput: when `out` exists or cannot be written.
        StoreUnusable: when there is no log, it or a segment is damaged, or another command has the archive.

    """
    if out.exists():
        raise InvalidInput(f"{out} exists, and a backup never replaces anything: name a folder that does not exist")
    source = data / FILE_NAME
    if not source.exists():
        raise StoreUnusable(f"{source} does not exist: name the data folder of a server with --data")
    # No day is sealed meanwhile: a segment must not hold rows that the copied log does not.
    lock = lock_archive(data)
    try:
        with _unfinished(out) as part:
            made = _fill(data, part, clock())
            durable.rename(part, out)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written ({error}): name a new folder where there is room") from error
    else:
        return made
    finally:
        lock.release()


def restore(source: Path, data: Path) -> Backup:
    """Check a backup and copy it to the new or empty folder `data`, which is there when it is whole.

    Raises:
        InvalidInput: when `data` is not empty or cannot be written.
        StoreUnusable: when the backup is damaged, incomplete or newer than this program.

    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise InvalidInput(f"{data} is not empty, and a restore never replaces anything: name a new or empty folder")
    made = read_backup(source)
    try:
        with _unfinished(data) as part:
            for file in made.files:
                _restore_file(source, part, file)
            _check_log(part / FILE_NAME, made)
            _sync_folders(part)
            durable.rename(part, data)
    except OSError as error:
        raise InvalidInput(f"{data} cannot be written ({error}): name a new folder where there is room") from error
    return made


def read_backup(source: Path) -> Backup:
    """Read a backup's manifest. Raises `StoreUnusable` for one that is missing, damaged or newer than this program."""
    path = source / MANIFEST
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content)
        version = found["format"] if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise StoreUnusable(f"{path} was written by a newer Honeyguide (format {version}): upgrade this program")
        return msgspec.json.decode(content, type=Backup)
    except OSError as error:
        raise StoreUnusable(f"{source} is no whole backup ({error}): name a folder that `backup` wrote") from error
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreUnusable(f"{path} is damaged ({error}): use another backup") from error


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yield a new private folder beside the target; what is left of it in the end is removed."""
    part = Path(tempfile.mkdtemp(prefix=f".{target.absolute().name}.", suffix=".part", dir=target.absolute().parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(data: Path, part: Path, now: int) -> Backup:
    _copy_log(data / FILE_NAME, part / FILE_NAME)
    applied, positions = _content(part / FILE_NAME)
    made = Backup(
        format=FORMAT,
        made_at=now,
        migrations=applied,
        positions=positions,
        files=[_described(part, FILE_NAME), *_copy_archive(data, part)],
    )
    durable.write(part / MANIFEST, msgspec.json.format(msgspec.json.encode(made)))
    _sync_folders(part)
    return made


def _copy_log(source: Path, target: Path) -> None:
    try:
        with reading(source) as live, closing(sqlite3.connect(target, isolation_level=None)) as copy:
            # One transaction throughout: without it, each write of the server's would start the copy anew.
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            live.backup(copy, pages=_PAGES, progress=lambda *_: time.sleep(_PAUSE_S))
            finding = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        if "full" in str(error) or "I/O" in str(error):
            raise OSError(str(error)) from error
        raise StoreUnusable(f"{source} cannot be backed up ({error}): it was left as it is") from error
    if finding != "ok":
        raise StoreUnusable(
            f"{source} is damaged ({' '.join(finding.split())}): it was left as it is; no backup was made"
        )
    check_file(target)
    durable.sync(target)


def _copy_archive(data: Path, part: Path) -> Iterator[File]:
    manifest = Manifest(data)
    if not manifest.folder.exists():
        return
    target = part / archive.FOLDER
    target.mkdir()
    durable.write(target / archive.FILE, manifest.content())
    yield _described(part, f"{archive.FOLDER}/{archive.FILE}")
    for segment in manifest.segments:
        path = target / segment.file
        path.parent.mkdir(parents=True, exist_ok=True)
        found, size = durable.copy(manifest.path(segment), path)
        if found != segment.sha256:
            raise StoreUnusable(
                f"{manifest.path(segment)} is damaged: its SHA-256 is {found}, and {segment.sha256} was sealed: "
                "put it back from an older backup"
            )
        yield File(f"{archive.FOLDER}/{segment.file}", size, found)


def _described(part: Path, name: str) -> File:
    return File(name, (part / name).stat().st_size, durable.sha256(part / name))


def _restore_file(source: Path, part: Path, file: File) -> None:
    path = part / file.path
    if part.resolve() not in path.resolve().parents:
        raise StoreUnusable(f"{source / MANIFEST} names {file.path!r}, which is outside of the backup: use another one")
    if not (source / file.path).is_file():
        raise StoreUnusable(f"{source / file.path} is missing: this backup is incomplete, use another one")
    path.parent.mkdir(parents=True, exist_ok=True)
    found, size = durable.copy(source / file.path, path)
    if (found, size) != (file.sha256, file.bytes):
        raise StoreUnusable(
            f"{source / file.path} is damaged: it has {size} bytes with SHA-256 {found}, and {file.bytes} with "
            f"{file.sha256} were backed up: use another backup"
        )


def _check_log(path: Path, made: Backup) -> None:
    check_file(path)
    if (made.migrations, made.positions) != (found := _content(path)):
        raise StoreUnusable(
            f"{MANIFEST} of the backup is damaged: it says {made.positions}, and the log has {found[1]}"
        )


def _content(path: Path) -> tuple[list[str], list[Position]]:
    """Return the migrations of a log's file, and how far its loops go."""
    with reading(path) as connection:
        applied = sorted(migration.name for migration in migrations.applied(Database(connection)))
        query = (
            "SELECT name,"
            " coalesce((SELECT position FROM decisions WHERE +loop = loops.id ORDER BY position DESC LIMIT 1), 0),"
            " coalesce((SELECT max(position) FROM outcomes WHERE loop = loops.id), 0) FROM loops ORDER BY name"
        )
        return applied, [Position(*row) for row in connection.execute(query)]


def _sync_folders(part: Path) -> None:
    for folder in [part, *(path for path in part.rglob("*") if path.is_dir())]:
        durable.sync(folder)
