"""Other libraries on the same passes, in an environment of their own that is made in the user's cache folder.

A pass of a library is kept there too, under a digest of all that it depends on: a peer is measured once.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from simulator.datasets.fetch import cache_folder, pip_command
from simulator.experiments import peer_side
from simulator.experiments.results import Contestant, Failure, Log, Pass, Propensity, summarise
from simulator.worlds.rounds import Rounds

REQUIREMENTS = {
    "vowpalwabbit": "vowpalwabbit==9.11.9",
    "mabwiser": "mabwiser==2.7.4",
    "contextualbandits": "contextualbandits==0.3.30",
    "bayesianbandits": "bayesianbandits==1.5.0",
    "coba": "coba==8.1.0",
    "river": "river==0.26.1",
}
_PROPENSITIES: dict[Contestant, Propensity] = {
    **{Contestant("vowpalwabbit", name): "exact" for name in ("epsilon .05", "squarecb", "softmax", "cover 4")},
    # Both give 0 to actions that none of their models prefers.
    **{Contestant("vowpalwabbit", name): "partial" for name in ("bag 4", "regcbopt")},
}
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_HOUR = 3600


def contestants(library: str) -> list[Contestant]:
    """Return the library's learners."""
    return [Contestant(library, name) for name in peer_side.LIBRARIES[library]]


def propensity_of(contestant: Contestant) -> Propensity:
    """Say what the learner lets its user log."""
    return _PROPENSITIES.get(contestant, "none")


def install(library: str, folder: Path | None = None) -> str | None:
    """Install the library in the peers' environment unless it is there; return None, or why it cannot be installed."""
    home = _environment(folder)
    mark = home / f"{REQUIREMENTS[library]}.installed"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if mark.exists():
            return None
        if not _python(home).exists():
            _run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        wanted = [*pip_command(), "--python", str(_python(home)), "install", "--quiet", REQUIREMENTS[library]]
        failed = _run(wanted)
        if failed is None:
            mark.touch()
        return failed


def play(library: str, rounds: Rounds, seed: int, folder: Path | None = None) -> list[Pass | Failure]:
    """Return one pass, or why there is none, for each of the library's learners."""
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "rounds.npz"
        rounds.write(path)
        kept = (folder or cache_folder()) / "learning-quality" / f"{_digest(library, rounds, seed)}.json"
        if kept.exists():
            return list(msgspec.json.decode(kept.read_bytes(), type=list[Pass]))
        results = _measure(library, rounds, seed, path, _python(_environment(folder)))
    if all(isinstance(result, Pass) for result in results):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(msgspec.json.encode(results))
    return results


def _measure(library: str, rounds: Rounds, seed: int, path: Path, python: Path) -> list[Pass | Failure]:
    # -I: nothing of ours or of the user's may be imported there.
    command = [str(python), "-I", "-W", "ignore", peer_side.__file__, library, str(path), str(seed)]
    done = subprocess.run(  # noqa: S603  # no shell; fixed words
        command, capture_output=True, text=True, check=False, env={**os.environ, **_ONE_THREAD}
    )
    said = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    crash = f"it ended with {done.returncode}: {_last_line(done.stderr)}"
    return [
        _result(rounds, seed, contestant, said.get(contestant.policy, {"failed": crash}))
        for contestant in contestants(library)
    ]


def _result(rounds: Rounds, seed: int, contestant: Contestant, row: dict[str, Any]) -> Pass | Failure:
    if "failed" in row:
        return Failure(rounds.name, seed, contestant, row["failed"])
    log = Log(row["earned"], row["propensities"], row["seconds"])
    return summarise(rounds, seed, contestant, propensity_of(contestant), log)


def _digest(library: str, rounds: Rounds, seed: int) -> str:
    parts = [REQUIREMENTS[library].encode(), str(seed).encode(), Path(peer_side.__file__).read_bytes()]
    parts += [array.tobytes() for array in (rounds.contexts, rounds.features, rounds.rewards, rounds.expected)]
    return hashlib.sha256(b"\x00".join([rounds.name.encode(), *parts])).hexdigest()


def _environment(folder: Path | None) -> Path:
    return (folder or cache_folder()) / f"peers-{sys.version_info.major}.{sys.version_info.minor}"


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_HOUR)  # noqa: S603  # as above
    return None if done.returncode == 0 else _last_line(done.stderr)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
