"""`honeyguide demo`: the whole path on real data, by the front door: decide, reward, learn, export, judge.

It starts the real server in a process of its own and speaks HTTP and the command line to it, as a user would.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from bandit.client import Client
from simulator.live import Baselines, showing
from simulator.report import comparison, read_report
from simulator.run_folder import fresh_folder
from simulator.server import serving, sigterm_as_interrupt
from simulator.traffic import Progress, decision_id, drive, row_of
from simulator.worlds.classification import ClassificationWorld, digits
from store.errors import HoneyguideError

LOOP = "digits"
COMMAND_LINE = "bandit.cli.main"
# Every action keeps 1 %: a log can only judge what it tried, and with the default tenth of that a policy unlike the
# served one would be judged by some twenty rows.
EXPLORATION = {"cap": 0.2, "floor": 0.1}
SHOWN = "ips,snips,dm,dr"
INTERRUPTED = 130
READING = (
    "ESS is how many rows an estimate is worth. dm repeats what the model predicted, and is as right as the model was; "
    "the others correct for how often each action was tried.\n"
)


class CommandFailed(HoneyguideError):
    """A command of ours that the demo runs has failed; the message carries what it said."""


@dataclass(frozen=True, slots=True)
class Demo:
    """One run: where its data goes, what it meets, who decides, and where it prints."""

    folder: Path
    world: ClassificationWorld
    policy: str
    console: Console

    @property
    def log(self) -> Path:
        """The Parquet file of the run's log."""
        return self.folder / f"{LOOP}.parquet"


def demo(
    data: Annotated[
        Path | None, typer.Option(help="A new or empty data folder. Default: a dated one in ./honeyguide-data.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Shuffles the images.")] = 0,
    policy: Annotated[str, typer.Option(help="Who decides: linear_ts, linear_ucb, vw …")] = "linear_ts",
    rows: Annotated[int, typer.Option(min=10, help="How many images to meet; there are 1,797.")] = 1797,
) -> None:
    """Serve, learn and judge on real data: 1,797 images of digits, over HTTP, in well under two minutes."""
    world = digits().shuffled(seed).first(rows)
    console = Console(highlight=False)
    run = Demo(fresh_folder(data, kind="demo", now=datetime.now(UTC)), world, policy, console)
    with _ending_cleanly(run.folder):
        _serve_and_learn(run)
        _judge(run)
        _say_how_to_look_further(run)


@contextmanager
def _ending_cleanly(folder: Path) -> Iterator[None]:
    """Say where the data is when the run is interrupted (Ctrl-C or SIGTERM: exit code 130) or fails."""
    try:
        with sigterm_as_interrupt():
            yield
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. What was decided until then is in {folder}.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except HoneyguideError:
        typer.echo(f"The run failed. What was decided until then is in {folder}.", err=True)
        raise


def _serve_and_learn(run: Demo) -> None:
    world, console = run.world, run.console
    best = world.best_fixed()
    console.print(f"Starting a server on {run.folder} …")
    with serving(COMMAND_LINE, "serve", "--data", str(run.folder)) as url, Client(url, trust_env=False) as client:
        client.put_loop(LOOP, {"policy": {"kind": run.policy}, "exploration": EXPLORATION})
        console.print(f"{len(world):,} real images over HTTP to {url}; ten actions, reward 1 if right.")
        with showing(console, Baselines(world.uniform_value(), world.fixed_value(best))) as show:
            progress = drive(client, loop=LOOP, world=world, run=LOOP, on_progress=show)
        status = client.wait_learned(LOOP, timeout_s=60)
    console.print(_summary(progress, model=status["model_version"]))


def _summary(progress: Progress, *, model: str) -> str:
    return (
        f"Learned all {progress.rewards:,} rewards; the model is now {model}.\n"
        f"[bold]Average reward of the last quarter: {progress.last_quarter:.3f}[/bold]"
    )


def _judge(run: Demo) -> None:
    fixed = f"fixed:{run.world.best_fixed()}"
    _command("export", LOOP, "--out", str(run.log), "--data", str(run.folder))
    policies = [word for policy in ("uniform", fixed, "logged") for word in ("--policy", policy)]
    report = json.loads(_command("ope", "evaluate", str(run.log), *policies, "--estimators", SHOWN, "--format", "json"))
    run.console.print("\nWhat each policy earns per decision: the truth, and what the log alone says:")
    run.console.print(comparison(read_report(report, _truths(run, fixed))))
    run.console.print(READING)


def _truths(run: Demo, fixed: str) -> dict[str, float]:
    log = pl.read_parquet(run.log, columns=["decision_id", "distribution"])
    served = {row_of(name): {p["action"]: p["propensity"] for p in pairs} for name, pairs in log.iter_rows()}
    world = run.world
    return {
        "uniform": world.uniform_value(),
        fixed: world.fixed_value(fixed.removeprefix("fixed:")),
        "logged": world.value(served),
    }


def _command(*words: str) -> str:
    command = [sys.executable, "-m", COMMAND_LINE, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    if done.returncode:
        raise CommandFailed(f"honeyguide {shlex.join(words)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _say_how_to_look_further(run: Demo) -> None:
    me = sys.argv[0] if Path(sys.argv[0]).name == "honeyguide" else "honeyguide"
    loop = f"http://127.0.0.1:8080/v1/loops/{LOOP}"
    for line in (
        f"The data is in {run.folder}. To look further:",
        f"  {me} serve --data {shlex.quote(str(run.folder))}     # goes on from where it stopped",
        f"  curl {loop}/status",
        f"  curl {loop}/decisions/{decision_id(LOOP, len(run.world) - 1)}     # why the last one",
        f"  {me} ope evaluate {shlex.quote(str(run.log))} --policy uniform",
    ):
        run.console.print(line, soft_wrap=True, markup=False)
