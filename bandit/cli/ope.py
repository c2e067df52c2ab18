"""`honeyguide ope`: what a policy would have earned, from a log; parses options and prints."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.convert import convert
from bandit.cli.exits import exit_codes
from bandit.cli.ope_compare import compare
from bandit.cli.ope_diagnose import diagnose
from bandit.cli.output import Format
from bandit.cli.scoring import scoring
from ope.bad_rows import REFUSE
from ope.errors import InvalidRequest
from ope.evaluate import evaluate_files
from ope.evaluation import Evaluation
from ope.frames import Columns
from ope.question import Question
from ope.report.exact_json import report_as_json
from ope.report.table import print_report

app = typer.Typer(no_args_is_help=True, help="Judge a policy from what another one logged.")
app.command()(convert)
app.command("diagnose")(diagnose)
app.command("compare")(compare)


@app.callback()
def ope() -> None:
    """Judge a policy from what another one logged."""


@app.command()
def evaluate(  # noqa: PLR0913 - a command's options are its arguments
    files: Annotated[list[Path], typer.Argument(help="Logs of any format that convert reads, as one.", metavar="FILE")],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="uniform, logged, fixed:ID, LOOP@VERSION, FILE.json, learn:FILE.json or progressive:FILE.json; "
            "repeatable. Default: a column."
        ),
    ] = None,
    learning: Annotated[
        bool, typer.Option("--learning", help="Judge what each FILE.json would have earned learning from scratch.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(envvar="HONEYGUIDE_DATA", help="The data folder of LOOP@VERSION.")
    ] = None,
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    propensity: Annotated[str, typer.Option(help="Column of the logged action's propensity.")] = "propensity",
    target_propensity: Annotated[
        str, typer.Option(help="Column of its propensity under the target.")
    ] = "target_propensity",
    q_logged: Annotated[str, typer.Option(help="Column of the logged action's predicted reward.")] = "q_logged",
    q_target: Annotated[str, typer.Option(help="Column of the target's predicted reward.")] = "q_target",
    logger: Annotated[str | None, typer.Option(help="Column that names the policy that logged a row.")] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Column of the logged action's category, to weigh that; with --policy.")
    ] = None,
    target_action: Annotated[
        str | None, typer.Option(help="Column of the target's action where actions are numbers; with --bandwidth.")
    ] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="How far from the target's action a logged one counts, in its unit.")
    ] = None,
    estimators: Annotated[
        str | None, typer.Option(help="Comma list of NAME, NAME:λ or NAME:slope, or all. Default: the usual ones.")
    ] = None,
    max_weight: Annotated[
        float | None, typer.Option(help="Largest weight of clipped_ips, dros, …; default: chosen from the log.")
    ] = None,
    interval: Annotated[
        str, typer.Option(help="Interval method: normal, or eb_mixture, valid at every look.")
    ] = "normal",
    level: Annotated[float, typer.Option(help="Confidence level of the interval.")] = 0.95,
    reward_range: Annotated[
        str | None, typer.Option(help="The rewards that there can be, LO,HI; for eb_mixture.", metavar="LO,HI")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
    ] = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="refuse: stop at a row that breaks a rule; report: leave it out and list it.")
    ] = REFUSE,
    against: Annotated[
        str | None,
        typer.Option(help="Another policy, logged or a column: judge the difference too, on the same rows."),
    ] = None,
    q_against: Annotated[str | None, typer.Option(help="Column of the other policy's predicted reward.")] = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="Column whose values are judged each alone; repeatable.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of the windows of time that are judged each alone: 6h, 1d, 2w.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
) -> None:
    """Estimate what a policy would have earned, with intervals and diagnostics."""
    with (
        exit_codes(),
        scoring(policy or (), data, max_weight, learning=learning, against=against) as (policies, scorer),
    ):
        question = Question(
            policies=policies,
            columns=Columns(
                reward, propensity, target_propensity, q_logged, q_target, target_action, logger, embedding, q_against
            ),
            estimators=_names(estimators),
            max_weight=max_weight,
            bandwidth=bandwidth,
            interval=interval,
            level=level,
            reward_range=None if reward_range is None else _range(reward_range),
            log_format=log_format,
            on_bad_rows=on_bad_rows,
            against=against,
            segments=segment or (),
            window=window,
            scorer=scorer,
        )
        report = evaluate_files(files, question)
    _print(report, output)


def _range(said: str) -> tuple[float, float]:
    try:
        low, high = map(float, said.split(","))
    except ValueError:
        raise InvalidRequest(f"--reward-range is {said!r}; it is two numbers, such as 0,1.") from None
    return low, high


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
        if evaluation.bad_rows is not None and evaluation.bad_rows.broken:
            typer.echo(f"{name}: left out {evaluation.bad_rows.broken:,} bad rows", err=True)
