"""What `honeyguide serve` refuses, and how it says so: a folder in use, a taken port, a damaged log."""

import socket
import subprocess
import sys
from pathlib import Path

from bandit.client import Client
from simulator.server import serving
from store.log.sqlite import SqliteStore

SERVE = ("bandit.cli.main", "serve", "--data")


def refused(data: Path, port: int = 1) -> subprocess.CompletedProcess[str]:
    """What a server says that must end by itself."""
    command = [sys.executable, "-m", *SERVE, str(data), "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_second_server_is_refused(tmp_path: Path) -> None:
    """A second `serve` on the same folder ends at once, says why, and leaves the first alone."""
    with serving(*SERVE, str(tmp_path)) as url:
        done = refused(tmp_path)
        assert done.returncode == 1
        assert "is in use by another Honeyguide server (process" in done.stderr
        with Client(url, trust_env=False) as client:
            assert client.ready()


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A server that cannot listen says so before it says that it serves."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused(tmp_path, port)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr


def test_damaged_log_is_refused_at_start(tmp_path: Path) -> None:
    """A server does not start on a damaged file: it names the file and what to do, and leaves every byte."""
    SqliteStore(tmp_path).close()
    path = tmp_path / "honeyguide.db"
    path.write_bytes(b"\x00" * 100 + path.read_bytes()[100:])
    before = path.read_bytes()
    done = refused(tmp_path)
    assert done.returncode == 1
    assert "honeyguide.db is damaged" in done.stderr
    assert "restore a backup" in done.stderr
    assert path.read_bytes() == before
