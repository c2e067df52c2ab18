"""The price of durability: decisions and their rewards per second with fsync, against `synchronous=OFF`.

Run it as `python -m simulator.benchmarks.ledger`. Two servers run side by side, one as it ships and one that never
syncs; rounds alternate between them, so that ratios come from one run, and the one whose turn it is not has nothing to
do. On each of sixteen connections a decision and its reward take turns. Every pair is learned, as one outcome with
`wait` and as two with `provisional`; `behind` is how many outcomes were not learned yet when the load ended: a rate
can go on for hours only if that is next to none.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
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
from simulator.benchmarks.generator import BenchmarkFailed, measure
from simulator.benchmarks.load import Latency, Measured
from simulator.benchmarks.setting import Setting, bench_client, bench_folder, decision_job, train
from simulator.server import serving

SERVERS = {"fsync": "bandit.cli.main", "off": "simulator.benchmarks.unsynced_server"}
DELAYS = ("wait", "provisional")
COLUMNS = ("learning.delay", "", "pairs/s", "ratio", "decision p50 ms", "p99", "reward p50 ms", "p99", "max", "behind")
WIDTH = 120


@dataclass(frozen=True, slots=True)
class Half:
    """What one server did in its turn, and how many outcomes it had not learned when the load ended."""

    load: Measured
    behind: int

    @property
    def pairs_per_s(self) -> float:
        """Decisions whose reward was answered too, a second."""
        return self.load.rewards_per_s

    @property
    def reward_latency_ms(self) -> Latency:
        """How long rewards took."""
        if self.load.reward_latency_ms is None:
            raise BenchmarkFailed("no reward was answered in this round: give it more --seconds")
        return self.load.reward_latency_ms


@dataclass(frozen=True, slots=True)
class Round:
    """With fsync and, next to it, without."""

    fsync: Half
    off: Half


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of one `learning.delay`, and what fsync leaves of the throughput: the median of their ratios."""

    delay: str
    ratio: float
    rounds: Sequence[Round]


def main(
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each half of a round takes.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds for each learning.delay.")] = 5,
    policy: Annotated[str, typer.Option(help="The loops' policy.")] = "linear_ts",
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure decisions with their rewards per second, with fsync and without."""
    with ExitStack() as stack:
        folder, setting = stack.enter_context(bench_folder(data))
        urls = {
            name: stack.enter_context(serving(module, "serve", "--data", str(folder / f"data-{name}")))
            for name, module in SERVERS.items()
        }
        clients = {url: stack.enter_context(bench_client(url)) for url in urls.values()}
        results = [_result(clients, delay, policy=policy, rounds=rounds, seconds=seconds) for delay in DELAYS]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": results}).decode())
    else:
        _print(setting, results)


def _result(clients: dict[str, Client], delay: str, *, policy: str, rounds: int, seconds: float) -> Result:
    for url, client in clients.items():
        train(client, url, loop=delay, config={"policy": {"kind": policy}, "learning": {"delay": delay}})
    measured = [_round(clients, delay, seconds=seconds, turned=bool(i % 2)) for i in range(rounds)]
    ratio = statistics.median(one.fsync.pairs_per_s / one.off.pairs_per_s for one in measured)
    return Result(delay, ratio, measured)


def _round(clients: dict[str, Client], loop: str, *, seconds: float, turned: bool) -> Round:
    """Load each server in turn, every second time in the other order: a machine that slows down favours neither."""
    halves = {}
    for url, client in reversed(clients.items()) if turned else clients.items():
        halves[url] = _half(client, url, loop=loop, seconds=seconds)
    return Round(*(halves[url] for url in clients))


def _half(client: Client, url: str, *, loop: str, seconds: float) -> Half:
    load = measure(decision_job(url, loop=loop, seconds=seconds, reward_share=1.0, reward_connections=0))
    status = client.status(loop)
    client.wait_learned(loop, timeout_s=120)  # the other server must not pay for this one's rewards
    return Half(load, status["log_position"] - status["learned_through"])


def _print(setting: Setting, results: Sequence[Result]) -> None:
    console = Console(width=WIDTH)
    table = Table(
        *COLUMNS, box=box.SIMPLE, caption="medians over the rounds; max, of both routes, and behind over all of them"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for result in results:
        on, off = [one.fsync for one in result.rounds], [one.off for one in result.rounds]
        table.add_row(result.delay, "fsync", *_cells(on, result.ratio))
        table.add_row("", "synchronous=OFF", *_cells(off, 1.0))
    console.print(setting)
    console.print(table)


def _cells(halves: Sequence[Half], ratio: float) -> list[str]:
    def median(figure: Callable[[Half], float]) -> float:
        return statistics.median(map(figure, halves))

    return [
        f"{median(lambda half: half.pairs_per_s):,.0f}",
        f"{ratio:.2f}",
        f"{median(lambda half: half.load.latency_ms.p50):.1f}",
        f"{median(lambda half: half.load.latency_ms.p99):.1f}",
        f"{median(lambda half: half.reward_latency_ms.p50):.1f}",
        f"{median(lambda half: half.reward_latency_ms.p99):.1f}",
        f"{max(max(half.load.latency_ms.max, half.reward_latency_ms.max) for half in halves):.1f}",
        f"{max(half.behind for half in halves):,}",
    ]


if __name__ == "__main__":
    typer.run(main)
