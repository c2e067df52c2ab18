"""What the benchmarks share: a server of their own on a disk of yours, trained loops, and what machine it was."""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit.client import Client
from simulator.benchmarks.bodies import decision_bodies
from simulator.benchmarks.generator import measure, port_of
from simulator.benchmarks.load import Job
from simulator.server import serving

TRAINED = 2000
"""Outcomes that a loop learns before it is measured: the prior state is much cheaper than a state."""
_TRAINING_SLICE_S = 1.0
_FSYNCS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a result was measured.

    `fsync_ms` is the median of a small append with fsync in the data folder, `load` the machine's load average over
    the minute before: what else ran.
    """

    cpus: int
    python: str
    machine: str
    fsync_ms: float
    load: float


@contextmanager
def bench_folder(parent: Path) -> Iterator[tuple[Path, Setting]]:
    """Make a folder in `parent`, which is removed afterwards; yields it and the setting.

    It must be on the disk that is to be measured: on a RAM disk an fsync costs nothing.
    """
    with tempfile.TemporaryDirectory(prefix="honeyguide-bench-", dir=parent) as name:
        yield Path(name), _setting(Path(name))


@contextmanager
def bench_server(parent: Path) -> Iterator[tuple[str, Client, Setting]]:
    """Serve a new folder in `parent` (see `bench_folder`); yields the base URL, a client and the setting."""
    with (
        bench_folder(parent) as (folder, setting),
        serving("simulator.benchmarks.floor_server", "--data", str(folder / "data")) as url,
        bench_client(url) as client,
    ):
        yield url, client, setting


def bench_client(url: str) -> Client:
    """Return a client that waits as long as a loaded server may take."""
    return Client(url, timeout_s=60, trust_env=False)


def train(client: Client, url: str, *, loop: str, config: dict[str, Any]) -> None:
    """Make the loop and have it learn at least `TRAINED` outcomes."""
    client.put_loop(loop, config)
    job = decision_job(url, loop=loop, seconds=_TRAINING_SLICE_S, reward_share=1.0)
    while client.wait_learned(loop, timeout_s=120)["learned_through"] < TRAINED:
        measure(job)


def decision_job(
    url: str,
    *,
    loop: str,
    seconds: float,
    reward_share: float = 0.0,
    connections: int = 16,
    reward_connections: int = 4,
) -> Job:
    """Return the job of deciding, and of rewarding a share of the decisions."""
    return Job(
        port=port_of(url),
        path=f"/v1/loops/{loop}/decisions",
        bodies=decision_bodies(),
        seconds=seconds,
        connections=connections,
        reward_path=f"/v1/loops/{loop}/rewards",
        reward_share=reward_share,
        reward_connections=reward_connections,
    )


def _setting(folder: Path) -> Setting:
    load, _, _ = os.getloadavg()
    return Setting(
        os.cpu_count() or 1, platform.python_version(), platform.machine(), _fsync_ms(folder), round(load, 2)
    )


def _fsync_ms(folder: Path) -> float:
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(_FSYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3
