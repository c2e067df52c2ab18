"""Resident memory of the real server while it decides, stores and learns: does it stay flat?

Run it as `python -m simulator.benchmarks.memory`. Sixteen connections decide and reward each decision as fast as they
are answered; after every `--every` decisions all that was sent is learned, and the server's memory is read from the
kernel (Linux). Warm-up is the time in which caches fill, SQLite's above all, 64 MB for each of two connections;
`growth` is the slope of a least-squares line through everything after it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bandit.cli.output import Format
from bandit.client import Client
from simulator.benchmarks.generator import measure
from simulator.benchmarks.load import Job
from simulator.benchmarks.setting import Setting, bench_client, bench_folder, decision_job
from simulator.server import started

LOOP = "memory"
WARM_UP = 0.25
"""The share of the samples that is left out of the slope: by then the caches are full."""
_LONGEST_S = 3600.0
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's resident memory after so many decisions, and so many outcomes learned."""

    decisions: int
    outcomes: int
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Result:
    """The samples of a run; `growth_mb` is the slope after warm-up, in MB for each 100,000 decisions."""

    policy: str
    growth_mb: float
    samples: Sequence[Sample]


def main(
    decisions: Annotated[int, typer.Option(min=1, help="How many decisions, each with a reward.")] = 1_000_000,
    every: Annotated[int, typer.Option(min=1, help="Decisions between two samples.")] = 50_000,
    policy: Annotated[str, typer.Option(help="The loop's policy.")] = "linear_ts",
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure the server's memory over many decisions."""
    with (
        bench_folder(data) as (folder, setting),
        started(("-m", "bandit.cli.main", "serve", "--data", str(folder / "data"))) as server,
    ):
        server.await_ready()
        with bench_client(server.url) as client:
            client.put_loop(LOOP, {"policy": {"kind": policy}})
            job = decision_job(server.url, loop=LOOP, seconds=_LONGEST_S, reward_share=1.0, reward_connections=0)
            job = msgspec.structs.replace(job, decisions=every)
            samples = list(_samples(client, job, server.process.pid, decisions))
    result = Result(policy, growth_mb(samples), samples)
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": [result]}).decode())
    else:
        _print(setting, result)


def growth_mb(samples: Sequence[Sample]) -> float:
    """Return the slope of the samples after warm-up, in MB for each 100,000 decisions; 0 for fewer than two."""
    counted = samples[round(len(samples) * WARM_UP) :]
    if len(counted) < 2:
        return 0.0
    at = np.array([one.decisions for one in counted]) / 100_000
    return float(np.polyfit(at, [one.resident_mb for one in counted], 1)[0])


def resident_mb(process: int) -> float:
    """Return what a process holds in memory now, in MB (Linux)."""
    found = _RESIDENT.search(Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _samples(client: Client, job: Job, process: int, decisions: int) -> Iterator[Sample]:
    yield Sample(0, 0, resident_mb(process))
    while True:
        measure(job)
        status = client.wait_learned(LOOP, timeout_s=600)
        sample = Sample(status["decisions"], status["learned_through"], resident_mb(process))
        yield sample
        if sample.decisions >= decisions:
            return


def _print(setting: Setting, result: Result) -> None:
    console = Console()
    table = Table(
        "decisions",
        "outcomes learned",
        "resident MB",
        box=box.SIMPLE,
        caption=f"{result.policy}: {result.growth_mb:+.2f} MB for each 100,000 decisions after warm-up",
    )
    for column in table.columns:
        column.justify = "right"
    for one in result.samples:
        table.add_row(f"{one.decisions:,}", f"{one.outcomes:,}", f"{one.resident_mb:.1f}")
    console.print(setting)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
