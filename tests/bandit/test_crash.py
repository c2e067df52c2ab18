"""Invariants 2 and 3 on the real server: what was acknowledged survives `kill -9`, and is learned from the log."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bandit.client import Client, ClientError, Retries
from bandit.learn.checkpoints import open_line
from bandit.settings import LoopConfig
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore

ACTIONS = [{"id": "a"}, {"id": "b", "features": {"q": 1.5}}]


@contextmanager
def server(data: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A real server process, ready, killed at the end if it still runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bandit.cli.main", "serve", "--data", str(data), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        with Client(url, trust_env=False) as client:
            deadline = time.monotonic() + 30
            while not client.ready():
                assert process.poll() is None, process.stderr.read().decode()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def interact(url: str, acknowledged: list[tuple[str, bool]], stop: threading.Event) -> None:
    """Decide and reward until stopped or cut off; note each id that was acknowledged, and whether its reward was."""
    with Client(url, retries=Retries(attempts=1), trust_env=False) as client:
        while not stop.is_set():
            try:
                decision_id = client.decide("loop", context={"x": 1.0}, actions=ACTIONS)["decision_id"]
                acknowledged.append((decision_id, False))
                client.reward("loop", decision_id=decision_id, value=1.0)
                acknowledged[-1] = (decision_id, True)
            except ClientError:
                return


@pytest.mark.parametrize("seconds", [0.3, 0.7])
def test_acknowledged_events_survive_kill_9(tmp_path: Path, seconds: float) -> None:
    """After a kill in the middle of traffic, every acknowledged decision and reward is there once, and is learned."""
    logs: list[list[tuple[str, bool]]] = [[] for _ in range(4)]
    with server(tmp_path) as (process, url):
        with Client(url, trust_env=False) as client:
            client.put_loop("loop", {"policy": {"kind": "linear_ts"}})
        stop = threading.Event()
        threads = [threading.Thread(target=interact, args=(url, log, stop)) for log in logs]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        process.kill()
        process.wait()
        stop.set()
        for thread in threads:
            thread.join()
    acknowledged = [entry for log in logs for entry in log]
    assert len(acknowledged) > 20
    with server(tmp_path) as (_, url), Client(url, trust_env=False) as client:
        for decision_id, rewarded in acknowledged:
            shown = client.decision("loop", decision_id)
            assert len(shown["rewards"]) in ({1} if rewarded else {0, 1})
            assert (shown["outcome"] is not None) == bool(shown["rewards"])
        status = client.status("loop")
        assert status["learned_through"] == status["log_position"] >= sum(rewarded for _, rewarded in acknowledged)
        after = client.decide("loop", context={"x": 1.0}, actions=ACTIONS)
        assert after["model_version"].endswith(f"@{status['log_position']}")


def test_served_state_is_the_fold_of_the_log(tmp_path: Path) -> None:
    """The checkpoint that a server leaves is bit for bit what folding its log anew gives."""
    with server(tmp_path) as (process, url):
        with Client(url, trust_env=False) as client:
            client.put_loop("loop", {})
            for value in (1.0, 0.0, 0.5) * 10:
                answer = client.decide("loop", context={"x": value, "who": "u"}, actions=ACTIONS)
                client.reward("loop", decision_id=answer["decision_id"], value=value)
        process.terminate()
        assert process.wait(20) == 0
    assert not (tmp_path / "honeyguide.db-wal").exists()  # closed in order: the log is one file again
    store = SqliteStore(tmp_path, read_only=True)
    config = LoopConfig()
    served = open_line(store, "loop", config)
    folded = open_line(MemoryStore(), "loop", config)
    folded.fold(store.examples("loop", after=0, limit=99))
    assert (served.position, served.line) == (30, folded.line)
    assert served.policy.dump() == folded.policy.dump()
    store.close()


def test_second_server_is_refused(tmp_path: Path) -> None:
    """A second `serve` on the same folder ends at once, says why, and leaves the first alone."""
    with server(tmp_path) as (_, url):
        second = [sys.executable, "-m", "bandit.cli.main", "serve", "--data", str(tmp_path), "--port", "1"]
        done = subprocess.run(second, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "is in use by another Honeyguide server (process" in done.stderr
        with Client(url, trust_env=False) as client:
            assert client.ready()


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A server that cannot listen says so before it says that it serves."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "bandit.cli.main", "serve", "--data", str(tmp_path), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr


def test_damaged_log_is_refused_at_start(tmp_path: Path) -> None:
    """A server does not start on a damaged file: it names the file and what to do, and leaves every byte."""
    SqliteStore(tmp_path).close()
    path = tmp_path / "honeyguide.db"
    path.write_bytes(b"\x00" * 100 + path.read_bytes()[100:])
    before = path.read_bytes()
    command = [sys.executable, "-m", "bandit.cli.main", "serve", "--data", str(tmp_path), "--port", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "honeyguide.db is damaged" in done.stderr
    assert "restore a backup" in done.stderr
    assert path.read_bytes() == before
