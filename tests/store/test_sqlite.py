"""What is particular to the embedded store: its file, its durability settings, and what it refuses to open."""

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database
from support import decision, loop

from store.errors import NotStored, StoreUnusable
from store.log.folder_lock import lock_folder
from store.log.schema import MIGRATION_NAMES, migrations
from store.log.sqlite import FILE_NAME, SqliteStore
from store.ports import write


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A data folder with a thousand decisions, closed."""
    store = SqliteStore(tmp_path)
    write(store, [lambda tx: tx.put_loop(loop("a"))])
    write(store, [lambda tx, i=i: tx.add_decision(decision(str(i))) for i in range(1000)])
    store.close()
    return tmp_path


def test_a_new_store_reads_what_the_old_one_wrote(filled: Path) -> None:
    """Everything is there after closing and opening again, and positions go on."""
    store = SqliteStore(filled)
    [stored] = write(store, [lambda tx: tx.add_decision(decision("next"))])
    assert stored.position == 1001
    assert store.decision("a", "999").position == 1000
    store.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """The writing connection runs in WAL mode with synchronous FULL (2): a commit returns after fsync."""
    store = SqliteStore(tmp_path)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_known_migrations_are_the_registered_ones(tmp_path: Path) -> None:
    """`MIGRATION_NAMES`, by which newer files are recognised, lists every migration."""
    database = Database(memory=True)
    assert {migration.name for migration in migrations.pending(database)} == MIGRATION_NAMES
    database.close()


@pytest.mark.parametrize("where", [0, 40, 4096, 8 * 4096])
def test_damage_is_named_and_left_alone(filled: Path, where: int) -> None:
    """A damaged file is refused by name with a way out, and not a byte of it is changed."""
    path = filled / FILE_NAME
    content = bytearray(path.read_bytes())
    content[where : where + 64] = b"\xaa" * 64
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match=r"honeyguide\.db is damaged.*restore a backup"):
        SqliteStore(filled)
    assert path.read_bytes() == bytes(content)


def test_truncation_is_named(filled: Path) -> None:
    """A file that lost its end is refused."""
    path = filled / FILE_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreUnusable, match="damaged"):
        SqliteStore(filled)


def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    """Another program's SQLite file is not touched; a newer Honeyguide's asks for an upgrade."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with sqlite3.connect(foreign / FILE_NAME) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreUnusable, match="not one of Honeyguide's"):
        SqliteStore(foreign)
    SqliteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('honeyguide', 'second_light')")
    connection.close()
    with pytest.raises(StoreUnusable, match=r"newer Honeyguide.*second_light"):
        SqliteStore(tmp_path)


def test_a_reader_needs_a_store_and_cannot_write(tmp_path: Path, filled: Path) -> None:
    """`read_only` opens an existing store beside its server and refuses to write or to create one."""
    server, reader = SqliteStore(filled), SqliteStore(filled, read_only=True)
    write(server, [lambda tx: tx.add_decision(decision("fresh"))])
    assert reader.decision("a", "fresh")
    with pytest.raises(NotStored):
        write(reader, [])
    reader.close()
    server.close()
    with pytest.raises(StoreUnusable, match="does not exist"):
        SqliteStore(tmp_path / "nowhere", read_only=True)


def test_full_disk_stores_nothing_and_says_so(filled: Path) -> None:
    """When the file cannot grow, the batch is refused whole, and the store works again once there is room."""
    store = SqliteStore(filled)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    many = [lambda tx, i=i: tx.add_decision(decision(f"more {i}")) for i in range(2000)]
    with pytest.raises(NotStored, match="full"):
        write(store, many)
    assert store.decision("a", "more 0") is None
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert len(write(store, many)) == 2000
    store.close()


@contextmanager
def disk_refuses() -> Iterator[None]:
    """No file of this process can be written to, not even within its present size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_commit_that_fails_leaves_no_gap(tmp_path: Path) -> None:
    """What fails at the sync is forgotten whole: positions go on without a gap, a loop that was not made has no id."""
    store = SqliteStore(tmp_path)
    write(store, [lambda tx: tx.put_loop(loop("a")), lambda tx: tx.add_decision(decision("first"))])
    for _ in range(3):
        store.begin([lambda tx: tx.put_loop(loop("b")), lambda tx: tx.add_decision(decision("lost"))])
        with disk_refuses(), pytest.raises(NotStored, match="the disk refuses"):
            store.commit()
    assert store.decision("a", "lost") is None
    write(store, [lambda tx: tx.put_loop(loop("c"))])
    write(store, [lambda tx: tx.add_decision(decision("other", loop="c"))])
    assert store.decision("b", "other") is None
    [stored] = write(store, [lambda tx: tx.add_decision(decision("next"))])
    assert stored.position == 3
    store.close()


def test_a_touch_needs_the_disk(tmp_path: Path) -> None:
    """A transaction that only touches the file fails where any other does, and is nothing otherwise."""
    store = SqliteStore(tmp_path)
    before = list(store._reader.iterdump())
    with disk_refuses(), pytest.raises(NotStored, match="the disk refuses"):
        write(store, [lambda tx: tx.touch()])
    assert write(store, [lambda tx: tx.touch()]) == [None]
    assert list(store._reader.iterdump()) == before
    store.close()


def test_another_writer_is_named_at_once(tmp_path: Path) -> None:
    """While another program holds the write lock nothing is stored and nobody waits, reads go on; later all works."""
    store = SqliteStore(tmp_path)
    write(store, [lambda tx: tx.put_loop(loop("a"))])
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(NotStored, match="another program holds the write lock"):
        write(store, [lambda tx: tx.add_decision(decision("d"))])
    assert time.monotonic() - began < 1
    assert store.decision("a", "d") is None
    other.execute("ROLLBACK")
    other.close()
    assert write(store, [lambda tx: tx.add_decision(decision("d"))])[0].position == 1
    store.close()


def test_one_server_per_folder(tmp_path: Path) -> None:
    """A second lock on a folder is refused with the holder's process id; releasing frees it."""
    lock = lock_folder(tmp_path / "data")
    with pytest.raises(StoreUnusable, match=r"in use by another.*process \d+"):
        lock_folder(tmp_path / "data")
    lock.release()
    lock_folder(tmp_path / "data").release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file is no folder, and the message says what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match="cannot be used"):
        lock_folder(tmp_path / "file" / "data")
