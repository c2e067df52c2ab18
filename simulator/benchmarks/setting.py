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
    """Where a result was measured; `fsync_ms` is the median of a small append with fsync in the data folder."""

    cpus: int
    python: str
    machine: str
    fsync_ms: float


@contextmanager
def bench_server(parent: Path) -> Iterator[tuple[str, Client, Setting]]:
    """Serve a new folder in `parent`, which is removed afterwards; yields the base URL, a client and the setting.

    The folder must be on the disk that is to be measured: on a RAM disk an fsync costs nothing.
    """
    with tempfile.TemporaryDirectory(prefix="honeyguide-bench-", dir=parent) as folder:
        setting = Setting(os.cpu_count() or 1, platform.python_version(), platform.machine(), _fsync_ms(Path(folder)))
        data = Path(folder) / "data"
        with (
            serving("simulator.benchmarks.floor_server", "--data", str(data)) as url,
            Client(url, timeout_s=60, trust_env=False) as client,
        ):
            yield url, client, setting


def train(client: Client, url: str, *, loop: str, policy: str, delay: str = "wait") -> None:
    """Make the loop, which learns after a delay or at once (`provisional`), and have it learn `TRAINED` outcomes."""
    client.put_loop(loop, {"policy": {"kind": policy}, "learning": {"delay": delay}})
    job = decision_job(url, loop=loop, seconds=_TRAINING_SLICE_S, reward_share=1.0)
    while client.wait_learned(loop, timeout_s=120)["learned_through"] < TRAINED:
        measure(job)


def decision_job(url: str, *, loop: str, seconds: float, reward_share: float = 0.0, connections: int = 16) -> Job:
    """Return the job of deciding, and of rewarding a share of the decisions."""
    return Job(
        port=port_of(url),
        path=f"/v1/loops/{loop}/decisions",
        bodies=decision_bodies(),
        seconds=seconds,
        connections=connections,
        reward_path=f"/v1/loops/{loop}/rewards",
        reward_share=reward_share,
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
