"""`honeyguide ope`: what a policy would have earned, from a log; parses options and prints."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.convert import convert
from bandit.cli.exits import exit_codes
from bandit.cli.html import write_html
from bandit.cli.ope_compare import compare
from bandit.cli.ope_diagnose import diagnose
from bandit.cli.ope_gate import gate
from bandit.cli.ope_power import power
from bandit.cli.output import Format
from bandit.cli.score import score
from bandit.cli.scoring import scoring
from ope.bad_rows import REFUSE
from ope.delays.asked import REFUSE as AS_SETTLED
from ope.delays.asked import Delays
from ope.diagnostics.question import reward_range as read_range
from ope.embedding_model import COUNT, EmbeddingModel
from ope.engines.table import POLARS
from ope.errors import InvalidRequest
from ope.evaluate import evaluate_files
from ope.evaluation import Evaluation
from ope.frames import Columns
from ope.intervals.confidence import Side
from ope.question import Question
from ope.report.exact_json import report_as_json
from ope.report.html.of_evaluation import evaluation_page
from ope.report.table import print_report
from ope.reward_models.asked import CONTEXT, CROSS_FITTED, RewardModel
from ope.reward_models.untrained import Declared

app = typer.Typer(no_args_is_help=True, help="Judge a policy from what another one logged.")
app.command()(convert)
app.command()(score)
app.command("diagnose")(diagnose)
app.command("gate")(gate)
app.command("power")(power)
app.command("compare")(compare)


@app.callback()
def ope() -> None:
    """Judge a policy from what another one logged."""


@app.command()
def evaluate(  # noqa: PLR0913 - a command's options are its arguments
    context: typer.Context,
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
        str,
        typer.Option(
            help="normal, bootstrap, cressie_read, empirical_bernstein; valid at every look: eb_mixture, betting."
        ),
    ] = "normal",
    level: Annotated[float, typer.Option(help="Confidence level of the interval.")] = 0.95,
    side: Annotated[
        Side, typer.Option(help="Bound the value on both sides, or on one with the whole error there.")
    ] = Side.BOTH,
    reward_range: Annotated[
        str | None, typer.Option(help="The rewards that there can be, not those that were seen.", metavar="LO,HI")
    ] = None,
    largest_weight: Annotated[
        float | None, typer.Option(help="The largest weight that there can be: what an interval may rely on.")
    ] = None,
    past_predictions: Annotated[
        bool, typer.Option("--past-predictions", help="Each prediction came from a model of earlier rows alone.")
    ] = False,
    embedding_model: Annotated[
        str, typer.Option(help="count: the embedding is a category; logistic: it is a list of numbers.")
    ] = COUNT,
    model: Annotated[
        str | None, typer.Option(help="Predict rewards for dm, dr, …: auto, ridge, logistic or gradient_boosting.")
    ] = None,
    model_fit: Annotated[
        str, typer.Option(help="cross_fitted: no row by a model that saw it; past: by one that saw earlier rows only.")
    ] = CROSS_FITTED,
    model_features: Annotated[
        str, typer.Option(help="Comma list of columns that hold what was known when deciding, or none.")
    ] = CONTEXT,
    model_rows: Annotated[int, typer.Option(help="Rows that a model is fitted on at most.")] = 100_000,
    folds: Annotated[int, typer.Option(help="Folds of cross-fitting.")] = 5,
    fold_by: Annotated[
        str | None, typer.Option(help="Column whose equal rows share a fold. Default: decision_id.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap's draws, of folds, of sampled rows and of models.")] = 0,
    trained_until: Annotated[
        str | None, typer.Option(help="Time through which the log's predictions were trained; later rows only.")
    ] = None,
    trained: Annotated[
        str | None, typer.Option(help="Column that is 1 where the model behind the log's predictions saw the row.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
    ] = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="refuse: stop at a row that breaks a rule; report: leave it out and list it.")
    ] = REFUSE,
    unresolved: Annotated[
        str, typer.Option(help="How decisions count whose reward has not come: refuse, mature, ipcw or bounds.")
    ] = AS_SETTLED,
    window_s: Annotated[float | None, typer.Option(help="Seconds within which a reward counts.")] = None,
    now: Annotated[
        str | None,
        typer.Option(help="Time of the last look, UTC unless it says otherwise. Default: the latest logged."),
    ] = None,
    default_reward: Annotated[float, typer.Option(help="What silence is worth.")] = 0.0,
    at: Annotated[str, typer.Option(help="Column of when the decision was made.")] = "at",
    rewarded_at: Annotated[str, typer.Option(help="Column of when its reward came.")] = "rewarded_at",
    delay_by: Annotated[
        str | None, typer.Option(help="Column of what the delay of rewards depends on, such as action; with ipcw.")
    ] = None,
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
    engine: Annotated[
        str, typer.Option(help="What reads the files and adds them up: polars, pandas, duckdb or pyspark.")
    ] = POLARS,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one HTML file, with plots.")] = None,
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
            model=_reward_model(
                model,
                fit=model_fit,
                features=model_features,
                folds=folds,
                fold_by=fold_by,
                rows=model_rows,
                seed=seed,
            ),
            embedding_model=None
            if embedding_model == COUNT
            else EmbeddingModel(kind=embedding_model, folds=folds, fold_by=fold_by, rows=model_rows, seed=seed),
            declared=Declared(until=trained_until, trained=trained),
            estimators=_names(estimators),
            max_weight=max_weight,
            bandwidth=bandwidth,
            interval=interval,
            level=level,
            side=side,
            reward_range=read_range(reward_range),
            largest_weight=largest_weight,
            past_predictions=past_predictions,
            seed=seed,
            log_format=log_format,
            on_bad_rows=on_bad_rows,
            delays=Delays(
                unresolved=unresolved,
                window_s=window_s,
                now=now,
                default_reward=default_reward,
                at=at,
                rewarded_at=rewarded_at,
                delay_by=delay_by,
            ),
            against=against,
            segments=segment or (),
            window=window,
            weights=html is not None,
            scorer=scorer,
            engine=engine,
        )
        report = evaluate_files(files, question)
        write_html(html, context, lambda said: evaluation_page(report, files=list(map(str, files)), asked=said))
    _print(report, output)


def _reward_model(
    kind: str | None, *, fit: str, features: str, folds: int, fold_by: str | None, rows: int, seed: int
) -> RewardModel | None:
    if kind is not None:
        names = () if features == "none" else tuple(_names(features) or ())
        return RewardModel(kind=kind, fit=fit, features=names, folds=folds, fold_by=fold_by, rows=rows, seed=seed)
    for option, said, usual in (("--model-fit", fit, CROSS_FITTED), ("--model-features", features, CONTEXT)):
        if said != usual:
            raise InvalidRequest(
                f"{option} {said} says how a model is fitted, and there is none. Ask for --model auto."
            )
    return None


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
