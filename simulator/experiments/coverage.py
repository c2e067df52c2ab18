"""How often each interval misses the truth: at one look, and at any of several, in worlds whose truth is known.

Run it as `python -m simulator.experiments.coverage`. An interval with a level of 90% misses in 10% of the logs at most,
if it keeps its promise: at the last look, or at any look where it is valid at all times.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from bandit.cli.output import Format
from ope.intervals.confidence import Confidence, Side
from simulator.experiments.coverage_methods import METHODS, Method
from simulator.experiments.coverage_worlds import WORLDS, Floats, World

WORKERS = 2
BATCH = 25
"""Logs that are drawn together, from a seed of their own."""


class Plan(msgspec.Struct, frozen=True):
    """Which intervals are looked at, in logs of how many rounds, how often, at what level and on which sides."""

    intervals: tuple[str, ...]
    rounds: int
    looks: int
    level: float
    side: Side = Side.BOTH

    @property
    def methods(self) -> list[Method]:
        """The intervals, with each estimator that they are of."""
        return [one for one in METHODS if one.name in self.intervals]


class Row(msgspec.Struct, frozen=True):
    """How an interval of an estimator did in a world, as shares of the logs and as means over them.

    `above` and `below`: the bound was above the truth, or below it, at the last look; `ever`: either of them at any
    look. `open` are logs in which it bounded nothing on a side, which are left out of the means `lower` and `upper`.
    """

    world: str
    method: str
    estimator: str
    anytime: bool
    truth: float
    above: float
    below: float
    ever: float
    lower: float
    upper: float
    open: float


def main(  # noqa: PLR0913 - a command's options are its arguments
    logs: Annotated[int, typer.Option(min=BATCH, help="Simulated logs of each world.")] = 1000,
    rounds: Annotated[int, typer.Option(min=10, help="Decisions in a log.")] = 1000,
    looks: Annotated[int, typer.Option(min=1, help="Looks at a log, evenly spaced.")] = 10,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    side: Annotated[Side, typer.Option(help="Both bounds, or one with the whole error.")] = Side.BOTH,
    seed: Annotated[int, typer.Option()] = 0,
    world: Annotated[list[str] | None, typer.Option(help="Only these worlds; repeatable.")] = None,
    interval: Annotated[list[str] | None, typer.Option(help="Only these intervals; repeatable.")] = None,
    *,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure how often each interval misses."""
    plan = Plan(tuple(interval or dict.fromkeys(one.name for one in METHODS)), rounds, looks, level, side)
    chosen = [one for one in WORLDS if world is None or one.name in world]
    rows = [row for one in chosen for row in measured(one, plan, logs=logs, seed=seed)]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        Console(highlight=False).print(_table(rows, level))


def measured(world: World, plan: Plan, *, logs: int, seed: int) -> Iterator[Row]:
    """Yield a row for each method, over a multiple of BATCH logs."""
    context = get_context("spawn")  # a fork would inherit the threads of numerical libraries
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        tasks = [pool.submit(batch, world.name, plan, (seed, i)) for i in range(math.ceil(logs / BATCH))]
        done = [task.result() for task in track(tasks, world.name, console=Console(stderr=True))]
    yield from summed(world, plan, np.concatenate(done))


def batch(name: str, plan: Plan, seed: tuple[int, int]) -> Floats:
    """Return the bounds of each method in each of BATCH logs at each look, shape (BATCH, methods, looks, 2)."""
    world = next(one for one in WORLDS if one.name == name)
    places = np.linspace(0, plan.rounds, plan.looks + 1).astype(int)[1:].tolist()
    with threadpool_limits(1):
        rows = world.draw(np.random.default_rng(seed), BATCH, plan.rounds)
        logs = [rows.log(i) for i in range(BATCH)]
        return np.array(
            [[one.at(world, log, places, Confidence(plan.level, plan.side)) for one in plan.methods] for log in logs]
        )


def summed(world: World, plan: Plan, bounds: Floats) -> Iterator[Row]:
    """Yield what the bounds of many logs say of each method."""
    for i, method in enumerate(plan.methods):
        low, high = bounds[:, i, :, 0], bounds[:, i, :, 1]
        above, below = low > world.truth, high < world.truth
        asked = [bound for bound, open_for in ((low, Side.UPPER), (high, Side.LOWER)) if plan.side is not open_for]
        shut = np.isfinite([bound[:, -1] for bound in asked]).all(axis=0)
        yield Row(
            world=world.name,
            method=method.name,
            estimator=method.of,
            anytime=method.anytime,
            truth=world.truth,
            above=float(above[:, -1].mean()),
            below=float(below[:, -1].mean()),
            ever=float((above | below).any(axis=1).mean()),
            lower=float(low[shut, -1].mean()) if shut.any() else math.nan,
            upper=float(high[shut, -1].mean()) if shut.any() else math.nan,
            open=float(1 - shut.mean()),
        )


def _table(rows: list[Row], level: float) -> Table:
    truths = ", ".join(f"{world} {truth:.4f}" for world, truth in {row.world: row.truth for row in rows}.items())
    caption = (
        f"{level:.0%} intervals. Shares of logs: lower bound above the truth, upper bound below it, at the last look; "
        "ever: either of them at any look; open: a side is not bounded. Lower, upper: means at the last look. "
        f"Truth: {truths}."
    )
    table = Table("world", "interval", "of", box=box.SIMPLE, caption=caption, padding=(0, 1, 0, 0))
    for heading in ("above", "below", "ever", "lower", "upper", "open"):
        table.add_column(heading, justify="right")
    for before, row in zip([None, *rows], rows, strict=False):
        same = before is not None and before.world == row.world
        table.add_row("" if same else row.world, row.method, row.estimator, *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    means = [f"{value:.4f}".removeprefix("0") for value in (row.lower, row.upper)]
    return [*(f"{share:.1%}" for share in (row.above, row.below, row.ever)), *means, f"{row.open:.1%}"]


if __name__ == "__main__":
    typer.run(main)
