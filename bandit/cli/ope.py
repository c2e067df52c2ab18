"""`honeyguide ope`: what a policy would have earned, from a log; parses options and prints."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.ope_diagnose import diagnose
from bandit.cli.output import Format
from ope.errors import InvalidRequest
from ope.evaluate import evaluate_files
from ope.evaluation import Evaluation
from ope.frames import Columns
from ope.report.exact_json import report_as_json
from ope.report.table import print_report
from store.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Judge a policy from what another one logged.")
app.command("diagnose")(diagnose)


@app.callback()
def ope() -> None:
    """Judge a policy from what another one logged."""


@app.command()
def evaluate(  # noqa: PLR0913 - a command's options are its arguments
    files: Annotated[list[Path], typer.Argument(help="Parquet, CSV or NDJSON logs, read as one.", metavar="FILE")],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="uniform, logged or fixed:ID; repeatable. Default: a column."),
    ] = None,
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    propensity: Annotated[str, typer.Option(help="Column of the logged action's propensity.")] = "propensity",
    target_propensity: Annotated[
        str, typer.Option(help="Column of its propensity under the target.")
    ] = "target_propensity",
    q_logged: Annotated[str, typer.Option(help="Column of the logged action's predicted reward.")] = "q_logged",
    q_target: Annotated[str, typer.Option(help="Column of the target's predicted reward.")] = "q_target",
    estimators: Annotated[
        str | None, typer.Option(help="Comma list of ips, snips, dm, dr. Default: all possible.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Interval method: normal.")] = "normal",
    level: Annotated[float, typer.Option(help="Confidence level of the interval.")] = 0.95,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
) -> None:
    """Estimate what a policy would have earned, with intervals and diagnostics."""
    with _exit_codes(), _spinner():
        report = evaluate_files(
            files,
            policies=policy or (),
            columns=Columns(reward, propensity, target_propensity, q_logged, q_target),
            estimators=_names(estimators),
            interval=interval,
            level=level,
        )
    _print(report, output)


def _names(comma_list: str | None) -> list[str] | None:
    return None if comma_list is None else [name.strip() for name in comma_list.split(",")]


def _print(report: dict[str, Evaluation], output: Format) -> None:
    if output is Format.TABLE:
        print_report(report, Console())
        return
    typer.echo(json.dumps(report_as_json(report), indent=2, allow_nan=False))
    for name, evaluation in report.items():
        for note in evaluation.notes:
            typer.echo(f"{name}: {note}", err=True)


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, InvalidRequest) else 1) from error


@contextmanager
def _spinner() -> Iterator[None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status("Reading the log…"):
        yield
