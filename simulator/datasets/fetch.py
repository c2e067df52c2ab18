"""Fetches one published distribution through pip into the user's cache; trusts nothing but its hash."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from store.errors import HoneyguideError, InvalidInput

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sdist:
    """A published source distribution: project, version and the digest of its one right content."""

    project: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """The archive's file name."""
        return f"{self.project}-{self.version}.tar.gz"

    @property
    def choice(self) -> tuple[str, ...]:
        """What makes pip choose this file: no wheel."""
        return ("--no-binary", ":all:")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A published wheel, of which only data is read: `tag` says for which platform, which need not be this one."""

    project: str
    version: str
    tag: str
    sha256: str

    @property
    def filename(self) -> str:
        """The archive's file name."""
        return f"{self.project}-{self.version}-{self.tag}.whl"

    @property
    def choice(self) -> tuple[str, ...]:
        """What makes pip choose this file on every platform."""
        python, abi, platform = self.tag.split("-")
        target = ("--implementation", python[:2], "--python-version", python[2:], "--abi", abi, "--platform", platform)
        return ("--only-binary", ":all:", *target)


Distribution: TypeAlias = Sdist | Wheel


def cache_folder() -> Path:
    """Return where Honeyguide keeps what it can fetch again (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "honeyguide"


def cached(distribution: Distribution, *, folder: Path | None = None) -> Path:
    """Return the path of the archive in the cache, fetching it unless its hash is already there.

    Raises HoneyguideError where pip cannot fetch it, InvalidInput where what came is another file.
    """
    home = folder or cache_folder()
    path = home / distribution.filename
    if path.exists() and digest(path) == distribution.sha256:
        return path
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as work:
        fetched = _pip_download(distribution, Path(work))
        _check(fetched, distribution)
        fetched.replace(path)
    return path


def digest(path: Path) -> str:
    """Return the file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, distribution: Distribution) -> None:
    found = digest(path)
    if found != distribution.sha256:
        raise InvalidInput(
            f"{path.name}: sha256 is {found}, the published file's is {distribution.sha256}. What came is "
            "another file: check the package index that pip is configured with."
        )


def _pip_download(distribution: Distribution, folder: Path) -> Path:
    # In a requirements file pip checks the hash before it runs the archive's build for metadata.
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{distribution.project}=={distribution.version} --hash=sha256:{distribution.sha256}\n")
    command = [
        *pip_command(), "download", "--quiet", "--disable-pip-version-check", "--ignore-requires-python",
        "--no-deps", *distribution.choice, "--dest", str(folder), "--requirement", str(wanted),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell; fixed words
    path = folder / distribution.filename
    if done.returncode or not path.exists():
        raise HoneyguideError(
            f"pip could not download {distribution.filename}: {_last_line(done.stderr)} Check the network, "
            "or fetch the file elsewhere and give its path."
        )
    return path


def pip_command() -> list[str]:
    """Return how to call pip; raises HoneyguideError where there is none."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip3") or shutil.which("pip")
    if other is None:
        raise HoneyguideError(
            "there is no pip to download with, in this environment or on the PATH. "
            "Install pip, or fetch the file elsewhere and give its path."
        )
    return [other]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removesuffix(".") + "." if lines else "it said nothing."
