"""How fast a loop's outcome log is folded again: what a restart without checkpoints, or a new line, takes.

Run it as `python -m simulator.benchmarks.replay_speed`. `bandit.learn.replay.replay` folds the same log for each
variant, ten actions of ten features to a decision, every decision rewarded. The **floor** reads the same outcomes with
their decisions and requests in the same chunks, and folds nothing: what no policy can be faster than. In each round
floor and variants follow one another, so that ratios come from one run.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bandit.cli.output import Format
from bandit.learn.learner import read_situation
from bandit.learn.replay import replay
from bandit.settings import LoopConfig
from bandit.wiring import warm_up
from simulator.benchmarks.filling import Filler
from simulator.benchmarks.setting import Setting, bench_folder
from store.ledger.rules import RewardRules
from store.log.sqlite import SqliteStore
from store.ports import Store
from store.records import SECOND

LOOP = "replay"
VARIANTS: dict[str, dict[str, Any]] = {
    "linear_ts": {"kind": "linear_ts"},
    "linear_ts disjoint": {"kind": "linear_ts", "arms": "disjoint", "memories": [1.0]},
    "vw": {"kind": "vw"},
}
_CHUNK = 500
"""As `replay` reads."""


@dataclass(frozen=True, slots=True)
class Round:
    """Outcomes a second: read only, and right after it read and folded."""

    floor_per_s: float
    outcomes_per_s: float

    @property
    def ratio(self) -> float:
        """What folding leaves of the floor."""
        return self.outcomes_per_s / self.floor_per_s


@dataclass(frozen=True, slots=True)
class Result:
    """A variant's rounds and the median of their ratios."""

    variant: str
    outcomes: int
    ratio: float
    rounds: Sequence[Round]


def main(
    outcomes: Annotated[int, typer.Option(min=1, help="How many the log has.")] = 50_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds for each variant.")] = 3,
    variant: Annotated[list[str] | None, typer.Option(help="Only these variants; repeatable.")] = None,
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure the replay of a log."""
    chosen = _chosen(variant)
    warm_up()
    with bench_folder(data) as (folder, setting), threadpool_limits(limits=1):  # as the server and the command run
        store = SqliteStore(folder)
        try:
            Filler(store, LOOP, RewardRules(), rewarded=True).fill(outcomes, at=SECOND)
            measured = [_round(store, chosen, outcomes) for _ in range(rounds)]
        finally:
            store.close()
    by_variant = zip(chosen, zip(*measured, strict=True), strict=True)
    results = [Result(name, outcomes, statistics.median(r.ratio for r in rs), rs) for name, rs in by_variant]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": results}).decode())
    else:
        _print(setting, results)


def _chosen(names: Sequence[str] | None) -> dict[str, LoopConfig]:
    try:
        return {name: LoopConfig(policy=VARIANTS[name]) for name in names or VARIANTS}
    except KeyError as error:
        raise typer.BadParameter(f"{error} is no variant; they are {', '.join(VARIANTS)}") from error


def _round(store: Store, chosen: dict[str, LoopConfig], outcomes: int) -> list[Round]:
    found = []
    for config in chosen.values():
        floor_per_s = _floor_per_s(store, outcomes)
        replayed = replay(store, LOOP, config, progress=lambda _: None)
        if replayed.outcomes != outcomes:
            raise ValueError(f"{replayed.outcomes} outcomes were replayed, and the log has {outcomes}")
        found.append(Round(floor_per_s, replayed.outcomes_per_s))
    return found


def _floor_per_s(store: Store, outcomes: int) -> float:
    position, began = 0, time.perf_counter()
    while examples := store.examples(LOOP, after=position, limit=_CHUNK):
        for example in examples:
            read_situation(example.decision)
        position = examples[-1].outcome.position
    return outcomes / (time.perf_counter() - began)


def _print(setting: Setting, results: Sequence[Result]) -> None:
    console = Console()
    table = Table("policy", "outcomes", "floor/s", "outcomes/s", "ratio", box=box.SIMPLE, caption="medians")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in results:
        floor = statistics.median(r.floor_per_s for r in one.rounds)
        speed = statistics.median(r.outcomes_per_s for r in one.rounds)
        table.add_row(one.variant, f"{one.outcomes:,}", f"{floor:,.0f}", f"{speed:,.0f}", f"{one.ratio:.2f}")
    console.print(setting)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
