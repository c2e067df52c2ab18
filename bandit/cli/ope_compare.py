"""`honeyguide ope compare`: many policies ranked on one log; parses options and prints."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.exits import exit_codes
from bandit.cli.output import Format
from bandit.cli.scoring import scoring
from ope.comparing.compare import compare_files
from ope.frames import Columns
from ope.question import Question
from ope.report.comparison import comparison_as_json, print_comparison


def compare(  # noqa: PLR0913 - a command's options are its arguments
    files: Annotated[list[Path], typer.Argument(help="Logs of any format that convert reads, as one.", metavar="FILE")],
    *,
    policy: Annotated[list[str], typer.Option(help="What ope evaluate takes, twice or more.")],
    baseline: Annotated[
        str | None, typer.Option(help="The policy that the others are compared with. Default: the best of them.")
    ] = None,
    estimator: Annotated[str, typer.Option(help="ips, snips, dr or sndr.")] = "snips",
    learning: Annotated[
        bool, typer.Option("--learning", help="Judge what each FILE.json would have earned learning from scratch.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(envvar="HONEYGUIDE_DATA", help="The data folder of LOOP@VERSION.")
    ] = None,
    max_weight: Annotated[float | None, typer.Option(help="Largest weight of the runs of learn: targets.")] = None,
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    propensity: Annotated[str, typer.Option(help="Column of the logged action's propensity.")] = "propensity",
    level: Annotated[float, typer.Option(help="Confidence level of all statements together.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws of the largest t.")] = 0,
    log_format: Annotated[
        str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
) -> None:
    """Rank policies on one log, with the error of all differences together held."""
    with exit_codes(), scoring(policy, data, max_weight, learning=learning, against=baseline) as (policies, scorer):
        question = Question(
            policies=policies,
            columns=Columns(reward, propensity),
            level=level,
            log_format=log_format,
            scorer=scorer,
        )
        found = compare_files(files, question, estimator=estimator, baseline=baseline, seed=seed)
    if output is Format.TABLE:
        print_comparison(found, Console())
        return
    typer.echo(json.dumps(comparison_as_json(found), indent=2, allow_nan=False))
    for note in found.notes:
        typer.echo(note, err=True)
