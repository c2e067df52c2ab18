"""The demo as its user runs it: a real server, HTTP, the real export and the real evaluation."""

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from simulator.run_folder import fresh_folder
from store.errors import InvalidInput
from store.log.folder_lock import lock_folder

DEMO = (sys.executable, "-m", "bandit.cli.main", "demo")


def _run(*options):
    return subprocess.run([*DEMO, *options], capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the demo once on 500 images, into a folder of its own."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    return folder, _run("--rows", "500", "--data", str(folder))


def _last_quarter(done):
    assert done.returncode == 0, done.stderr
    return float(re.search(r"last quarter: (\d\.\d+)", done.stdout)[1])


def test_demo_learns(finished):
    """After 500 images the last quarter earns what guessing on 125 images exceeds once in a million runs."""
    assert _last_quarter(finished[1]) > 0.25


@pytest.mark.deep
def test_whole_demo_learns_in_time(tmp_path):
    """All 1,797 images: the last quarter is far above uniform (0.10), in under two minutes."""
    assert _last_quarter(_run("--data", str(tmp_path))) > 0.75


def test_demo_shows_its_progress(finished):
    """Without a terminal the progress is about ten plain lines, with the baselines and the exploration."""
    lines = [line for line in finished[1].stdout.splitlines() if "explored" in line]
    assert 9 <= len(lines) <= 11
    assert all("uniform 0.100, best fixed" in line for line in lines)


def test_demo_judges_its_own_log(finished):
    """The final table holds each policy's truth against every estimator, within 80 columns."""
    _, done = finished
    table = done.stdout[done.stdout.index("policy") :]
    for word in ("uniform", "fixed:", "logged", "ips", "snips", "dm", "dr"):
        assert word in table
    assert re.search(r"logged +0\.\d{3} +500 ", table)
    assert max(map(len, table[: table.index("ESS is")].splitlines())) <= 80


def test_demo_says_where_to_look(finished):
    """It ends with the data folder, and the log is there."""
    folder, done = finished
    assert f"serve --data {folder}" in done.stdout
    assert (folder / "digits.parquet").exists()


def test_demo_never_joins_another_log(finished):
    """A folder with data is refused, with the way out, and nothing in it changes."""
    folder, _ = finished
    before = sorted(folder.iterdir())
    again = _run("--data", str(folder))
    assert again.returncode == 1
    assert "name a new one" in again.stderr
    assert sorted(folder.iterdir()) == before


def test_refusal_of_the_server_is_shown(tmp_path):
    """An unknown policy ends the demo with the server's own words and exit code 1."""
    done = _run("--policy", "nope", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "'nope'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_no_server(tmp_path, number):
    """Ctrl-C or SIGTERM: one line, exit code 130, and the server is gone so the folder can be served again."""
    process = subprocess.Popen(
        [*DEMO, "--data", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert any("explored" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped" in said
    assert "Traceback" not in said
    lock_folder(tmp_path).release()  # raises while a server holds the folder


def test_default_folders_are_dated_and_distinct(tmp_path, monkeypatch):
    """Two runs in one second get two folders under ./honeyguide-data."""
    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)
    first, second = (fresh_folder(None, kind="demo", now=now) for _ in range(2))
    assert [str(first), str(second)] == [
        "honeyguide-data/demo-20260801-123000",
        "honeyguide-data/demo-20260801-123000-2",
    ]


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    """A path below a file is refused in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="--data"):
        fresh_folder(tmp_path / "file" / "data", kind="demo", now=datetime.now(UTC))
