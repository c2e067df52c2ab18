"""How often a gate that is looked at every day promotes: a candidate that is no better, and one that is, by how much.

Run it as `python -m simulator.experiments.peeking`. Only the rule on the lift is at work; the gate's other rules can
but take promotions away. Beside it stands what a normal interval, looked at as often, would have promoted.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from enum import StrEnum
from multiprocessing import get_context
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtri
from scipy.stats import binom
from threadpoolctl import threadpool_limits

from ope.gate.config import Gate
from ope.gate.fold import Folded, start
from ope.gate.methods import METHODS
from simulator.experiments.peeking_worlds import LIFTS, NULLS, World, lifted

WORKERS = 2
BATCH = 25
"""Runs that are drawn together, from a seed of their own."""
SURE = 1e-3
"""Probability that a gate which errs in exactly α of the runs is above the limit that is printed beside α itself."""


class Output(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Plan(msgspec.Struct, frozen=True):
    """How many days each run has, and how many decisions each day, at whose end there is a look."""

    days: int
    per_day: int
    alpha: float
    method: str

    @property
    def gate(self) -> Gate:
        """The gate that is looked at."""
        return Gate(reward_range=(0.0, 1.0), alpha=self.alpha, method=self.method)


class Row(msgspec.Struct, frozen=True):
    """How many runs had been promoted by the end of a day, by the gate and by a normal interval."""

    world: str
    lift: float
    decisions: int
    runs: int
    gate: int
    normal: int


def main(  # noqa: PLR0913 - a command's options are its arguments
    runs: Annotated[int, typer.Option(min=BATCH, help="Simulated logs of each world.")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="Days, each with a look at its end.")] = 20,
    per_day: Annotated[int, typer.Option(min=1, help="Decisions of a day.")] = 500,
    alpha: Annotated[float, typer.Option(help="The gate's error.")] = 0.05,
    method: Annotated[str, typer.Option(help=f"The bound: {' or '.join(METHODS)}.")] = "betting",
    seed: Annotated[int, typer.Option()] = 0,
    *,
    nulls: Annotated[bool, typer.Option(help="Candidates that are no better.")] = True,
    lifts: Annotated[bool, typer.Option(help="Candidates that are.")] = True,
    output: Annotated[Output, typer.Option("--format", help="How to print the result.")] = Output.TABLE,
) -> None:
    """Measure how often a gate promotes, looked at every day."""
    plan = Plan(days, per_day, alpha, method)
    worlds = [*(NULLS if nulls else ()), *(lifted(lift) for lift in LIFTS if lifts)]
    rows = [row for world in worlds for row in measured(world, plan, runs=runs, seed=seed)]
    match output:
        case Output.JSON:
            typer.echo(msgspec.json.encode(rows).decode())
        case Output.CSV:
            csv.writer(sys.stdout).writerows([Row.__struct_fields__, *(msgspec.structs.astuple(row) for row in rows)])
        case Output.TABLE:
            Console(highlight=False).print(_table(rows, plan))


def measured(world: World, plan: Plan, *, runs: int, seed: int) -> Iterator[Row]:
    """Yield a row for each day, over a multiple of BATCH runs."""
    name = f"{world.name} {world.lift:g}"
    context = get_context("spawn")  # a fork would inherit the threads of numerical libraries
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        tasks = [pool.submit(batch, world.name, world.lift, plan, (seed, i)) for i in range(-(-runs // BATCH))]
        done = [task.result() for task in track(tasks, name, console=Console(stderr=True))]
    yield from summed(world, plan, np.concatenate(done))


def batch(name: str, lift: float, plan: Plan, seed: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return of BATCH runs whether gate and normal interval had promoted by each day, shape (BATCH, 2, days)."""
    world = lifted(lift) if lift else next(one for one in NULLS if one.name == name)
    with threadpool_limits(1):
        w, r = world.draw(np.random.default_rng(seed), BATCH, plan.days * plan.per_day)
        looks = [run(plan, weights, rewards) for weights, rewards in zip(w, r, strict=True)]
    return np.logical_or.accumulate(np.array(looks), axis=2)


def run(
    plan: Plan, weights: npt.NDArray[np.float64], rewards: npt.NDArray[np.float64]
) -> tuple[list[bool], list[bool]]:
    """Return what the gate says at each look of one run, and what a normal interval says."""
    gate, folded = plan.gate, start(plan.gate, only_margin=True)
    found: tuple[list[bool], list[bool]] = ([], [])
    for day in range(plan.days):
        today = slice(day * plan.per_day, (day + 1) * plan.per_day)
        w = weights[today]
        folded = folded.fold(gate, w, np.ones_like(w), rewards[today])
        found[0].append(folded.above_margin(gate))
        found[1].append(_normal(folded, plan))
    return found


def _normal(folded: Folded, plan: Plan) -> bool:
    tally = folded.tally
    return bool(tally.lift + float(ndtri(plan.alpha)) * tally.lift_stderr > plan.gate.margin)


def summed(world: World, plan: Plan, promoted: npt.NDArray[np.bool_]) -> Iterator[Row]:
    """Yield what many runs say of each day."""
    counts = promoted.sum(axis=0)
    for day in range(plan.days):
        by_gate, by_normal = (int(count) for count in counts[:, day])
        yield Row(world.name, world.lift, (day + 1) * plan.per_day, len(promoted), by_gate, by_normal)


def allowed(runs: int, alpha: float) -> int:
    """Return the most promotions that `runs` of a gate which errs in α of them make, but for SURE."""
    return int(binom.isf(SURE, runs, alpha))


def _table(rows: Sequence[Row], plan: Plan) -> Table:
    runs = max(row.runs for row in rows)
    caption = (
        f"Runs promoted by the end of a day, {plan.days} daily looks, α = {plan.alpha:g}, {plan.method}; in brackets: "
        f"by a normal interval. At most {plan.alpha * runs:g} of {runs:,} may be where the lift is 0; a gate that errs "
        f"with exactly α has more than {allowed(runs, plan.alpha)} with a probability of {SURE:g}."
    )
    shown = sorted({round(plan.days * share) for share in (0.05, 0.1, 0.25, 0.5, 1)} - {0})
    table = Table("world", "lift", *(f"{day * plan.per_day:,}" for day in shown), box=box.SIMPLE, caption=caption)
    for world, lift in dict.fromkeys((row.world, row.lift) for row in rows):
        own = {row.decisions: row for row in rows if (row.world, row.lift) == (world, lift)}
        days = [own[day * plan.per_day] for day in shown]
        table.add_row(world, f"{lift:g}", *(f"{row.gate} ({row.normal})" for row in days))
    return table


if __name__ == "__main__":
    typer.run(main)
