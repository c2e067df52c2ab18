"""A backup is the whole folder at one moment, taken while a server writes; a restore takes nothing else for one."""

import hashlib
import itertools
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest
from archived import DAY, NOW, everything, fill, seal_all
from support import decision

from store.errors import InvalidInput, StoreUnusable
from store.log import backup as backup_module
from store.log.archive.manifest import Manifest, lock_archive
from store.log.backup import FORMAT, MANIFEST, backup, restore
from store.log.sqlite import FILE_NAME, SqliteStore
from store.ports import write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of two loops and five days, all but the last sealed."""
    data = tmp_path / "data"
    data.mkdir()
    store = SqliteStore(data)
    fill(store, 1000)
    store.close()
    seal_all(data)
    return data


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    backup(data, tmp_path / "backup", lambda: NOW)
    return tmp_path / "backup"


def test_a_restored_folder_is_the_one_that_was_backed_up(data: Path, made: Path, tmp_path: Path) -> None:
    """Log and archive come back as they were, and positions go on."""
    restore(made, tmp_path / "restored")
    old, new = SqliteStore(data), SqliteStore(tmp_path / "restored")
    assert everything(new) == everything(old)
    assert write(new, [lambda tx: tx.add_decision(decision("next")).position]) == [1001]
    old.close()
    new.close()
    assert Manifest(data).segments == Manifest(tmp_path / "restored").segments != []


def test_a_backup_is_one_moment_while_a_server_writes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a writer that never pauses the copy goes through once, and holds whole transactions only.

    Each transaction appends a decision to each of the loops a and b: a copy of two moments would have a
    different number of them. A step is one page here, and the next one waits until the writer has written again: a
    copy that begins anew after each write never ends.
    """
    monkeypatch.setattr(backup_module, "_PAGES", 1)
    steps: list[int] = []
    store = SqliteStore(data)
    stop, written = threading.Event(), []

    def serve() -> None:
        for i in itertools.count():
            if stop.is_set():
                return
            made = [decision(f"n{i}", loop=name, at=NOW) for name in "ab"]
            write(store, [lambda tx, d=d: tx.add_decision(d) for d in made])
            written.append(i)

    def pause(seconds: float) -> None:
        steps.append(len(written))
        assert len(steps) < 1000, "the copy does not end"
        while len(written) == steps[-1]:
            assert server.is_alive()

    monkeypatch.setattr(backup_module.time, "sleep", pause)
    server = threading.Thread(target=serve)
    server.start()
    try:
        before = len(written)
        backup(data, tmp_path / "online", lambda: NOW)
        during = len(written) - before
    finally:
        stop.set()
        server.join()
        store.close()
    assert during > len(steps) > 50
    with sqlite3.connect(tmp_path / "online" / FILE_NAME) as copy:
        counts = [
            copy.execute("SELECT count(*) FROM decisions WHERE loop = ?", (loop,)).fetchone()[0] for loop in (1, 2)
        ]
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert counts[0] == counts[1] >= 500 + before
    restore(tmp_path / "online", tmp_path / "restored")
    SqliteStore(tmp_path / "restored").close()


def test_nothing_is_ever_replaced(data: Path, made: Path, tmp_path: Path) -> None:
    """A backup refuses a folder that exists, a restore one that is not empty; both leave it as it was."""
    with pytest.raises(InvalidInput, match="exists, and a backup never replaces"):
        backup(data, made, lambda: NOW)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(InvalidInput, match="not empty, and a restore never replaces"):
        restore(made, data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    (tmp_path / "empty").mkdir()
    restore(made, tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["honeyguide.db", "archive/manifest.ndjson", "archive/loop=a/day=1970-01-02/*.parquet"]
)
def test_damage_is_named_with_its_checksums(made: Path, tmp_path: Path, name: str) -> None:
    """A byte that changed, or a file that is gone, is named, and nothing is restored."""
    path = next(made.glob(name))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    wanted = {f["path"]: f["sha256"] for f in msgspec.json.decode((made / MANIFEST).read_bytes())["files"]}
    with pytest.raises(StoreUnusable, match=rf"{path.name} is damaged.*{wanted[str(path.relative_to(made))]}"):
        restore(made, tmp_path / "restored")
    path.unlink()
    with pytest.raises(StoreUnusable, match=f"{path.name} is missing"):
        restore(made, tmp_path / "restored")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup", "data"]


def test_a_damaged_or_foreign_manifest_is_refused(made: Path, tmp_path: Path) -> None:
    """Half a manifest, one with other positions, one that leads out of the folder, and none at all are refused."""
    path = made / MANIFEST
    content = path.read_bytes()
    found = msgspec.json.decode(content)
    found["positions"][0]["outcomes"] += 1
    outside = msgspec.json.decode(content)
    outside["files"][0]["path"] = "../../elsewhere"
    for broken, said in [
        (content[: len(content) // 2], "is damaged"),
        (b"[]", "is damaged"),
        (msgspec.json.encode(found), "is damaged: it says"),
        (msgspec.json.encode(outside), "outside of the backup"),
    ]:
        path.write_bytes(broken)
        with pytest.raises(StoreUnusable, match=said):
            restore(made, tmp_path / "restored")
    path.unlink()
    with pytest.raises(StoreUnusable, match="no whole backup"):
        restore(made, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_newer_backup_asks_for_an_upgrade(made: Path, tmp_path: Path) -> None:
    """A format, or a migration of the log, that this program does not know is refused as newer."""
    path = made / MANIFEST
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({"format": FORMAT + 1}))
    with pytest.raises(StoreUnusable, match="newer Honeyguide"):
        restore(made, tmp_path / "restored")
    with sqlite3.connect(made / FILE_NAME) as log:
        log.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('honeyguide', 'tomorrow')")
    log.close()
    content["files"][0] |= {
        "sha256": hashlib.sha256((made / FILE_NAME).read_bytes()).hexdigest(),
        "bytes": (made / FILE_NAME).stat().st_size,
    }
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(StoreUnusable, match=r"newer Honeyguide.*tomorrow"):
        restore(made, tmp_path / "restored")


def test_a_damaged_source_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    """A damaged segment or log is named, and no backup is made of it, nor a part of one left behind."""
    segment = Manifest(data).path(Manifest(data).segments[3])
    content = segment.read_bytes()
    segment.write_bytes(content[:-1])
    with pytest.raises(StoreUnusable, match=f"{segment.name} is damaged"):
        backup(data, tmp_path / "backup", lambda: NOW)
    segment.write_bytes(content)
    log = data / FILE_NAME
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    with pytest.raises(StoreUnusable, match=FILE_NAME):
        backup(data, tmp_path / "backup", lambda: NOW)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_no_day_is_sealed_during_a_backup(data: Path, tmp_path: Path) -> None:
    """Backup and archive take turns: a segment must not be newer than the log that it is backed up with."""
    lock = lock_archive(data)
    with pytest.raises(StoreUnusable, match="another archive or backup"):
        backup(data, tmp_path / "backup", lambda: NOW + DAY)
    lock.release()
    backup(data, tmp_path / "backup", lambda: NOW + DAY)
