"""What ships: four import names that are ours alone, and a wheel that serves where the checkout is not."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bandit.client import Client
from simulator.server import free_port

ROOT = Path(__file__).parents[1]
PACKAGES = {"bandit", "ope", "store", "simulator"}


def test_the_import_names_are_ours_alone() -> None:
    """No other distribution owns one of our import names, as the linter called bandit would.

    An editable install owns a path and no names, so that here nobody may; the wheel's test says that we do.
    """
    owners = importlib.metadata.packages_distributions()
    assert {owner for name in PACKAGES for owner in owners.get(name, [])} <= {"honeyguide"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, which sees the locked dependencies and not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is only a path: the .pth file of the editable install that lies there is not read.
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys._base_executable, "-m", "pip", "--python", str(folder / "bin/python")]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel), cwd=folder)
    return folder


def run(*command: str, cwd: Path) -> str:
    """Run a command away from the checkout; returns what it prints."""
    done = subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HONEYGUIDE_"))}


@contextmanager
def server(program: Path, folder: Path) -> Iterator[Client]:
    """A client of a server that the installed program runs."""
    port = str(free_port())
    command = [str(program), "serve", "--data", str(folder / "data"), "--port", port]
    process = subprocess.Popen(command, cwd=folder, env=clean_environment(), stdin=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{port}", trust_env=False) as client:
            for _ in range(200):
                if client.ready():
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.deep
def test_the_wheel_has_our_packages_and_the_licence(wheel: Path) -> None:
    """The wheel holds the four packages and the licence, and nothing else: no tests, no docs."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [licence] = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {name.split("/", maxsplit=1)[0] for name in names if ".dist-info/" not in name} == PACKAGES


@pytest.mark.deep
def test_the_wheel_is_what_runs(installed: Path) -> None:
    """In the fresh environment, all four packages come from the wheel, and the program has all its commands."""
    code = (
        "import bandit, ope, simulator, store; print(*(m.__file__ for m in (bandit, ope, simulator, store)), sep='\\n')"
    )
    files = run(str(installed / "bin/python"), "-c", code, cwd=installed).split()
    assert [Path(file).is_relative_to(installed) for file in files] == [True] * 4
    code = "from importlib.metadata import packages_distributions as p; print(*p()['bandit'])"
    assert set(run(str(installed / "bin/python"), "-c", code, cwd=installed).split()) == {"honeyguide"}
    text = run(str(installed / "bin/honeyguide"), "--help", cwd=installed)
    commands = ("serve", "export", "replay", "archive", "backup", "restore", "ope", "demo", "dataset")
    assert [command for command in commands if command not in text] == []


@pytest.mark.deep
def test_the_wheel_decides_and_learns(installed: Path) -> None:
    """The installed server takes a loop, a decision and its reward, and learns."""
    with server(installed / "bin/honeyguide", installed) as client:
        client.put_loop("loop", {})
        decision = client.decide("loop", context={"x": 1}, actions=[{"id": "a"}, {"id": "b"}])
        client.reward("loop", decision_id=decision["decision_id"], value=1)
        # Learned at once as if nothing came, and corrected by the reward.
        assert client.wait_learned("loop")["learned_through"] == 2
