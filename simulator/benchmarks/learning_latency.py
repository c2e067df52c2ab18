"""From reward to learned: how long after a reward is sent the next decision is known to have learned from it.

Run it as `python -m simulator.benchmarks.learning_latency`. The clock starts before `POST rewards` and stops when
`GET status?learned_through=…` has answered, so three round trips are in the figure: it bounds what the learner takes
from above. Quiet: nothing else happens. Busy: four connections decide meanwhile, as fast as they are answered, and
every one of their decisions is rewarded and learned too.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bandit.cli.output import Format
from bandit.client import Client
from simulator.benchmarks.bodies import decision_bodies
from simulator.benchmarks.generator import measure
from simulator.benchmarks.load import Latency, latency
from simulator.benchmarks.setting import Setting, bench_server, decision_job, train

LOOP = "latency"
BUSY_CONNECTIONS = 4
_REQUEST = msgspec.json.decode(decision_bodies()[0])


@dataclass(frozen=True, slots=True)
class Result:
    """How long `samples` rewards took to be learned, beside `learned_per_s` others."""

    name: str
    samples: int
    learned_per_s: float
    latency_ms: Latency


def main(
    seconds: Annotated[float, typer.Option(min=1, help="How long each part takes.")] = 10.0,
    policy: Annotated[str, typer.Option(help="The loop's policy.")] = "linear_ts",
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure the time from a reward to its being learned."""
    with bench_server(data) as (url, client, setting):
        train(client, url, loop=LOOP, config={"policy": {"kind": policy}})
        results = [_quiet(client, seconds=seconds), _busy(client, url, seconds=seconds)]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": results}).decode())
    else:
        _print(setting, results)


def _quiet(client: Client, *, seconds: float) -> Result:
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(_reward_to_learned_s(client))
    return Result("quiet", len(samples), 0.0, latency(samples))


def _busy(client: Client, url: str, *, seconds: float) -> Result:
    job = decision_job(url, loop=LOOP, seconds=seconds, reward_share=1.0, connections=BUSY_CONNECTIONS)
    samples = []
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(measure, job)
        time.sleep(1.0)  # until the generator's process has come up
        while not load.done():
            samples.append(_reward_to_learned_s(client))
    return Result("busy", len(samples), load.result().rewards_per_s, latency(samples))


def _reward_to_learned_s(client: Client) -> float:
    name = client.decide(LOOP, context=_REQUEST["context"], actions=_REQUEST["actions"])["decision_id"]
    began = time.perf_counter()
    client.reward(LOOP, decision_id=name, value=1.0)
    client.wait_learned(LOOP, timeout_s=30)
    return time.perf_counter() - began


def _print(setting: Setting, results: Sequence[Result]) -> None:
    console = Console()
    table = Table("", "rewards", "others/s", "p50 ms", "p99 ms", "max ms", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        took = [f"{figure:.1f}" for figure in msgspec.structs.astuple(result.latency_ms)]
        table.add_row(result.name, f"{result.samples:,}", f"{result.learned_per_s:,.0f}", *took)
    console.print(setting)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
