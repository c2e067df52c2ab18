"""How much our policies and their peers earn in one pass over worlds whose truth is known.

Run it as `python -m simulator.experiments.learning_quality`. Everyone meets the same rounds in the same order with the
same luck, and learns after each. Peers run in an environment of their own, which the first run makes.
"""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from bandit.cli.output import Format
from bandit.settings import LoopConfig
from simulator.experiments import ours, peers
from simulator.experiments.results import OURS, Contestant, Failure, Pass, Propensity, summarise
from simulator.experiments.scores import Board, Verdict, board, verdicts
from simulator.experiments.tables import print_board
from simulator.experiments.worlds import WORLDS, chosen_worlds
from store.errors import HoneyguideError

WORKERS = 2
WIDTH = 200


class Job(msgspec.Struct, frozen=True):
    """One pass: of our policy `policy` where `config` is given, else of all of a library's learners."""

    world: str
    seed: int
    library: str
    policy: str = ""
    config: LoopConfig | None = None


class Report(msgspec.Struct, frozen=True):
    """All of an experiment."""

    machine: str
    board: Board
    verdicts: list[Verdict]
    failures: list[Failure]
    passes: list[Pass]


def main(
    world: Annotated[list[str] | None, typer.Option(help="Only these worlds; repeatable.")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Only these: a policy of ours, a peer's library, or NAME={loop config}; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many paired seeds.")] = 20,
    *,
    held_out: Annotated[bool, typer.Option(help="The worlds that are kept aside, instead of the others.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    save: Annotated[Path | None, typer.Option(help="Write the JSON there too.")] = None,
) -> None:
    """Measure what each policy earns, and whether the default is as good as was asked."""
    try:
        worlds = chosen_worlds(world or [], held_out=held_out)
        report = experiment(jobs(worlds, policy or [], range(seeds)))
    except HoneyguideError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    text = msgspec.json.encode(report)
    if save is not None:
        save.write_bytes(text)
    if output is Format.JSON:
        typer.echo(text.decode())
    else:
        print_board(Console(width=WIDTH, highlight=False), report.board, report.verdicts, report.failures)


def jobs(worlds: Sequence[str], policies: Sequence[str], seeds: Iterable[int]) -> list[Job]:
    """Return the passes to run, all of a seed before the next.

    Raises `InvalidInput` for a policy that is neither known nor a config.
    """
    known = ours.configs()
    chosen = policies or [*known, *peers.REQUIREMENTS]
    libraries = [name for name in chosen if name in peers.REQUIREMENTS]
    mine = dict(
        (name, known[name]) if name in known else ours.read_config(name) for name in chosen if name not in libraries
    )
    return [
        job
        for seed in seeds
        for world in worlds
        for job in (
            *(Job(world, seed, OURS, name, config) for name, config in mine.items()),
            *(Job(world, seed, library) for library in libraries),
        )
    ]


def experiment(todo: Sequence[Job]) -> Report:
    """Run the passes two at a time and return what they say together.

    Raises `InvalidInput` where no contestant finished all that others did.
    """
    results, runnable = _install(todo)
    context = get_context("spawn")  # a fork would inherit the threads of numerical libraries
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        waiting = [pool.submit(run, job) for job in runnable]
        bar = Console(stderr=True)
        for done in track(as_completed(waiting), "passes", total=len(waiting), console=bar):
            results += done.result()
    passes = [one for one in results if isinstance(one, Pass)]
    failures = [one for one in results if isinstance(one, Failure)]
    whole = board(passes)
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs"
    return Report(machine, whole, verdicts(whole, ours.DEFAULT), failures, passes)


def run(job: Job) -> list[Pass | Failure]:
    """Run one job; one thread, so that two jobs share two CPUs."""
    rounds = WORLDS[job.world].make(job.seed)
    if job.config is None:
        return peers.play(job.library, rounds, job.seed)
    contestant = Contestant(OURS, job.policy)
    try:
        with threadpool_limits(1):
            log = ours.play(rounds, job.config, job.seed)
    except HoneyguideError as error:
        return [Failure(job.world, job.seed, contestant, str(error))]
    propensity: Propensity = "exact" if job.config.exploration.floor > 0 else "partial"
    return [summarise(rounds, job.seed, contestant, propensity, log)]


def _install(todo: Sequence[Job]) -> tuple[list[Pass | Failure], list[Job]]:
    """Install the libraries; return why some cannot be measured, and the jobs that can be run."""
    wanted = dict.fromkeys(job.library for job in todo if job.library != OURS)
    refused = {library: reason for library in wanted if (reason := peers.install(library))}
    failed = [failure for job in todo if job.library in refused for failure in _refused(job, refused[job.library])]
    return list(failed), [job for job in todo if job.library not in refused]


def _refused(job: Job, reason: str) -> Iterator[Failure]:
    for contestant in peers.contestants(job.library):
        yield Failure(job.world, job.seed, contestant, f"it cannot be installed: {reason}")


if __name__ == "__main__":
    typer.run(main)
