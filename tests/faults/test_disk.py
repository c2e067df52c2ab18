"""A disk that is full, broken or read-only, and a file that another program holds: honest answers, and no loss."""

import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx2
from faults_support import CARELESS, LOOPS, check_integrity

from bandit.client import Client
from simulator.faults.audit import disorder, forgotten, losses
from simulator.faults.callers import ACTIONS, calling
from simulator.server import Running, started
from store.log.sqlite import FILE_NAME, SqliteStore

Fault = Callable[[Running, Path], AbstractContextManager[None]]


@contextmanager
def refused_writes(server: Running, folder: Path) -> Iterator[None]:
    """The operating system refuses every write to a file (EFBIG), as a disk does that is broken."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(server: Running, folder: Path) -> Iterator[None]:
    """SQLite takes the file for read-only (`careless.py` makes it)."""
    sign = folder / "read-only"
    sign.touch()
    try:
        yield
    finally:
        sign.unlink()


@contextmanager
def held_by_another(server: Running, folder: Path) -> Iterator[None]:
    """Another program holds the file's write lock for as long as it likes."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full_disk(server: Running, folder: Path) -> Iterator[None]:
    """There is no room left on the disk (ENOSPC)."""
    ballast = folder / "ballast"
    done = subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
    assert b"No space left" in done.stderr
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 32 megabytes at this folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "honeyguide-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def may_mount() -> bool:
    """Whether this process may mount a disk; `.ci/run` names the tests that are left out where it may not."""
    attempt = ["unshare", "--mount", "mount", "-t", "tmpfs", "honeyguide-test", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


class Asker:
    """Asks a server, and looks at every header of what it says."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http
        self.at = "/v1/loops/patient"
        self._asked = 0

    def writes(self) -> list[httpx2.Response]:
        """Answers to what must be stored: a decision, a reward, a loop, and the question whether that is possible."""
        self._asked += 1
        asked = f"asked-{self._asked}"
        return [
            self.http.post(f"{self.at}/decisions", json={"decision_id": asked, "actions": ACTIONS, "context": PADDING}),
            self.http.post(f"{self.at}/rewards", json={"decision_id": "first", "value": 1, "reward_id": asked}),
            self.http.put(f"/v1/loops/{asked}", json={}),
            self.http.get("/readyz"),
        ]

    def reads(self) -> list[httpx2.Response]:
        """Answers to what needs no room."""
        pages = (f"{self.at}/decisions/first", f"{self.at}/status", "/v1/loops/patient", "/v1/loops", "/healthz")
        return [self.http.get(page) for page in pages]


PADDING = {f"x{i}": 0.1 for i in range(500)}
"""A context that fills a disk."""


def check_honest(asker: Asker, *, patience: int) -> None:
    """Within `patience` requests nothing is stored any more, and each answer says so, at once; reads are answered."""
    for _ in range(patience):
        writes, reads = asker.writes(), asker.reads()
        assert max(answer.elapsed.total_seconds() for answer in writes + reads) < 4
        assert [answer.status_code for answer in reads] == [200] * len(reads)
        for answer in (answer for answer in writes if not answer.is_success):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith("nothing was written")
        stored = [str(answer.request.url) for answer in writes if answer.is_success]
        if not stored:
            return
    raise AssertionError(f"after {patience} rounds this is still stored: {stored}")


def go_through(server: Running, folder: Path, faults: list[Fault], *, patience: int) -> None:
    """Run the server through each fault with callers who never stop; afterwards all is well and nothing is lost."""
    server.await_ready()
    with Client(server.url, trust_env=False) as client:
        for name, config in LOOPS.items():
            client.put_loop(name, config)
        client.decide("patient", context={}, actions=ACTIONS, decision_id="first")
    asks = httpx2.Client(base_url=server.url, trust_env=False, timeout=5)
    with asks, calling(server.url, list(LOOPS), callers=3, name="disk") as notes:
        asker = Asker(asks)
        for fault in faults:
            time.sleep(0.2)
            with fault(server, folder):
                check_honest(asker, patience=patience)
                time.sleep(0.2)
            assert [answer.is_success for answer in asker.writes()] == [True] * 4
        time.sleep(0.3)
    assert set(notes.refusals) == {503}
    assert len(notes.rewarded) > 10
    with Client(server.url, trust_env=False) as client:
        time.sleep(0.5)
        for name in LOOPS:
            assert client.wait_learned(name)["learning_error"] is None
    server.stop()
    check_integrity(folder)
    store = SqliteStore(folder, read_only=True)
    assert losses(store, notes) == []
    for name in LOOPS:
        assert disorder(store, name) == []
        assert forgotten(store, name) == []
    store.close()


def test_faults_are_503_and_pass(tmp_path: Path) -> None:
    """While the disk refuses, is read-only or locked, writes are 503 and reads go on; then all works, nothing lost."""
    program = (CARELESS, "read-only", "serve", "--data", str(tmp_path))
    with started(program) as server:
        go_through(server, tmp_path, [held_by_another, refused_writes, read_only, refused_writes], patience=1)


if may_mount():

    def test_a_full_disk_is_503_and_passes(tmp_path: Path) -> None:
        """While there is no room, writes are 503 and reads go on; once there is, all works and nothing is lost."""
        folder = tmp_path / "data"
        program = ("-m", "bandit.cli.main", "serve", "--data", str(folder))
        with small_disk(folder), started(program) as server:
            go_through(server, folder, [full_disk], patience=200)

    def test_a_read_only_disk_is_named_at_start(tmp_path: Path) -> None:
        """A server does not start on a disk that it cannot write to: it names the folder and the way out."""
        folder = tmp_path / "data"
        with small_disk(folder):
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            command = [sys.executable, "-m", "bandit.cli.main", "serve", "--data", str(folder), "--port", "1"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "Read-only file system" in done.stderr
        assert "name a folder that is writable with --data" in done.stderr
