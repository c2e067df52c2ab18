"""`honeyguide ope score`: a policy's propensities as columns; parses options and says what was written."""

from pathlib import Path
from typing import Annotated

import typer

from bandit.cli.exits import exit_codes
from bandit.cli.scoring import scoring
from ope.frames import Columns
from ope.question import Question
from ope.score import score_files


def score(  # noqa: PLR0913 - a command's options are its arguments
    files: Annotated[list[Path], typer.Argument(help="Logs of any format that convert reads, as one.", metavar="FILE")],
    *,
    out: Annotated[Path, typer.Option(help="The Parquet file to write; an existing one is replaced.")],
    policy: Annotated[
        str | None,
        typer.Option(help="The policy to score, as in ope evaluate. Default: the column --target-propensity."),
    ] = None,
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
    embedding: Annotated[str | None, typer.Option(help="Column of the action's category; with --policy.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
    ] = None,
) -> None:
    """Write what a policy would have done in each row, for any engine to go on with."""
    asked = () if policy is None else (policy,)
    with exit_codes(), scoring(asked, data, None) as (policies, scorer):
        columns = Columns(reward, propensity, target_propensity, q_logged, q_target, logger=logger, embedding=embedding)
        question = Question(policies=policies, columns=columns, log_format=log_format, scorer=scorer)
        rows = score_files(files, out, question)
    typer.echo(f"{out}: {rows:,} rows")
