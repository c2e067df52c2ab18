"""Throughput and latency of `POST decisions` against the floor, in alternating rounds on one server.

Run it as `python -m simulator.benchmarks.decisions`. The bar is the ratio: what a decision, durable before it is
answered, leaves of what the same server does with the same body and no work. Neighbouring rounds cancel the drift of a
shared machine; absolute figures do not travel.
"""

import statistics
from collections.abc import Callable, Sequence
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
from simulator.benchmarks.floor_server import FLOOR
from simulator.benchmarks.generator import measure
from simulator.benchmarks.load import Measured
from simulator.benchmarks.setting import Setting, bench_server, decision_job, train

REWARD_SHARE = 0.25
COLUMNS = ("", "floor/s", "decisions/s", "ratio", "p50 ms", "p99 ms", "max ms", "rewards/s", "stored")
WIDTH = 108


@dataclass(frozen=True, slots=True)
class Variant:
    """What is compared with the floor: a policy, the share of its decisions that is rewarded meanwhile, and the delay.

    With `delay` "provisional" every decision is learned at once, as if no reward came; else it waits for its outcome.
    """

    policy: str
    reward_share: float = 0.0
    delay: str = "wait"

    @property
    def name(self) -> str:
        """How tables and options call it."""
        if self.delay != "wait":
            return f"{self.policy}-at-once"
        return f"{self.policy}-learning" if self.reward_share else self.policy


VARIANTS = (
    Variant("linear_ts"),
    Variant("linear_ts", REWARD_SHARE),
    Variant("linear_ts", delay="provisional"),
    Variant("linear_ucb"),
    Variant("vw"),
    Variant("vw", REWARD_SHARE),
)


@dataclass(frozen=True, slots=True)
class Round:
    """The floor, and right after it the decisions; `checkpointed` is how far the stored state moved in their time."""

    floor: Measured
    decisions: Measured
    checkpointed: int

    @property
    def ratio(self) -> float:
        """What the decisions leave of the floor's throughput."""
        return self.decisions.requests_per_s / self.floor.requests_per_s


@dataclass(frozen=True, slots=True)
class Result:
    """A variant's rounds and the median of their ratios."""

    variant: str
    ratio: float
    rounds: Sequence[Round]

    def median(self, figure: Callable[[Round], float]) -> float:
        """Return the median over the rounds."""
        return statistics.median(map(figure, self.rounds))


def main(
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each half of a round takes.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per variant.")] = 3,
    variant: Annotated[list[str] | None, typer.Option(help="Only these variants; repeatable.")] = None,
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure decisions per second and their latency against the floor."""
    chosen = _chosen(variant)
    with bench_server(data) as (url, client, setting):
        results = [_result(client, url, one, rounds=rounds, seconds=seconds) for one in chosen]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": results}).decode())
    else:
        _print(setting, results)


def _result(client: Client, url: str, variant: Variant, *, rounds: int, seconds: float) -> Result:
    config = {"policy": {"kind": variant.policy}, "learning": {"delay": variant.delay}}
    train(client, url, loop=variant.name, config=config)
    measured = [_round(client, url, variant, seconds=seconds) for _ in range(rounds)]
    return Result(variant.name, statistics.median(one.ratio for one in measured), measured)


def _round(client: Client, url: str, variant: Variant, *, seconds: float) -> Round:
    job = decision_job(url, loop=variant.name, seconds=seconds, reward_share=variant.reward_share)
    floor = measure(msgspec.structs.replace(job, path=FLOOR, reward_share=0.0))
    before = client.status(variant.name)["checkpoint"] or 0
    decisions = measure(job)
    after = client.status(variant.name)["checkpoint"] or 0
    client.wait_learned(variant.name, timeout_s=120)  # the next round must not pay for this one's rewards
    return Round(floor, decisions, after - before)


def _chosen(names: Sequence[str] | None) -> list[Variant]:
    known = {variant.name: variant for variant in VARIANTS}
    try:
        return [known[name] for name in names or known]
    except KeyError as error:
        raise typer.BadParameter(f"{error} is no variant; they are {', '.join(known)}") from error


def _print(setting: Setting, results: Sequence[Result]) -> None:
    console = Console(width=WIDTH)
    caption = "medians over the rounds; max, and outcomes stored by checkpoints, over all of them"
    table = Table(*COLUMNS, box=box.SIMPLE, caption=caption)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        table.add_row(*_cells(result))
    console.print(setting)
    console.print(table)


def _cells(result: Result) -> list[str]:
    median, rounds = result.median, result.rounds
    return [
        result.variant,
        f"{median(lambda one: one.floor.requests_per_s):,.0f}",
        f"{median(lambda one: one.decisions.requests_per_s):,.0f}",
        f"{result.ratio:.3f}",
        f"{median(lambda one: one.decisions.latency_ms.p50):.1f}",
        f"{median(lambda one: one.decisions.latency_ms.p99):.1f}",
        f"{max(one.decisions.latency_ms.max for one in rounds):.1f}",
        f"{median(lambda one: one.decisions.rewards_per_s):,.0f}",
        f"{sum(one.checkpointed for one in rounds):,}",
    ]


if __name__ == "__main__":
    typer.run(main)
