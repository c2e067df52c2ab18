"""`honeyguide ope diagnose`: what is wrong with a log, where, and the way out; parses options and prints."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.html import write_html
from bandit.cli.output import Format
from ope.diagnostics.lint import lint_files
from ope.diagnostics.question import Asked, names, reward_range, version_position
from ope.diagnostics.roles import Roles
from ope.diagnostics.thresholds import limits
from ope.errors import InvalidRequest
from ope.policies import parse_policy
from ope.report.html.of_lint import lint_page
from ope.report.lint_json import lint_as_json
from ope.report.lint_table import print_lint


class FailOn(StrEnum):
    """From which severity on the command ends with 1."""

    WARN = "warn"
    REFUSE = "refuse"


def diagnose(  # noqa: PLR0913 - a command's options are its arguments
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Logs of any format that convert reads, as one.", metavar="FILE")],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="uniform, logged or fixed:ID; repeatable. Default: a column, where there is one."),
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="Column whose values are also judged each alone; repeatable.")
    ] = None,
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    propensity: Annotated[str, typer.Option(help="Column of the logged action's propensity.")] = "propensity",
    target_propensity: Annotated[
        str, typer.Option(help="Column of its propensity under the target.")
    ] = "target_propensity",
    q_logged: Annotated[str, typer.Option(help="Column of the logged action's predicted reward.")] = "q_logged",
    q_target: Annotated[str, typer.Option(help="Column of the target's predicted reward.")] = "q_target",
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=NAME for another column, such as at=timestamp; repeatable.")
    ] = None,
    rewards_in: Annotated[
        str | None, typer.Option("--reward-range", help="LOW,HIGH between which every reward must be.")
    ] = None,
    window_s: Annotated[
        float | None, typer.Option(help="Seconds that a reward may take; younger decisions may be open.", min=0)
    ] = None,
    target_version: Annotated[
        str | None, typer.Option(help="LINE@POSITION of the target, to tell what it learned from.")
    ] = None,
    threshold: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a threshold; repeatable.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="The severity from which on the exit code is 1.")] = FailOn.REFUSE,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one HTML file, with plots.")] = None,
) -> None:
    """Say what is wrong with a log, where, and how to mend the logging."""
    try:
        named = Roles(reward, propensity, target_propensity, q_logged, q_target).named(column or ())
        asked = Asked(
            limits(threshold or ()),
            policies=tuple(parse_policy(spec) for spec in names(policy or ())),
            segments=names(segment or ()),
            reward_range=reward_range(rewards_in),
            window=None if window_s is None else round(window_s * 1e6),
            trained_through=None if target_version is None else version_position(target_version),
        )
        found = lint_files(files, roles=named, asked=asked, log_format=log_format)
        write_html(html, context, lambda said: lint_page(found, asked=said))
    except InvalidRequest as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if output is Format.JSON:
        typer.echo(json.dumps(lint_as_json(found), indent=2, allow_nan=False))
    else:
        print_lint(found, Console())
    raise typer.Exit(1 if found.at_least(fail_on.value) else 0)
