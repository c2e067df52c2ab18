"""`honeyguide ope gate`: whether a log is evidence enough to promote a policy; parses, prints, keeps the state."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit.cli.exits import exit_codes
from bandit.cli.html import write_html
from bandit.cli.output import Format
from ope.diagnostics.question import reward_range
from ope.diagnostics.roles import Roles
from ope.gate.config import LOGGED, Gate
from ope.gate.judge import Progress, gate_files
from ope.gate.methods import METHODS
from ope.gate.state import load, save
from ope.report.gate_json import verdict_as_json
from ope.report.gate_table import print_verdict
from ope.report.html.of_gate import gate_page

Files = Annotated[list[Path], typer.Argument(help="Parquet, CSV or NDJSON logs, read as one.", metavar="FILE")]
PolicyOption = Annotated[
    str | None, typer.Option(help="The candidate: uniform or fixed:ID. Default: the column --target-propensity.")
]
Against = Annotated[str, typer.Option(help="The champion: logged, the policy that made the log, or another.")]
Rewards = Annotated[str, typer.Option("--reward-range", help="The rewards that there can be, LO,HI.", metavar="LO,HI")]
Margin = Annotated[float, typer.Option(help="The lift must be above this, in reward units.")]
Alpha = Annotated[float, typer.Option(help="Probability of ever promoting what is not above the margin.")]
MethodOption = Annotated[str, typer.Option(help=f"The bound on the lift: {' or '.join(METHODS)}.")]
MinEss = Annotated[float, typer.Option(help="Effective rows that there must be.")]
MinOutcomes = Annotated[int, typer.Option(help="Decisions with an outcome that there must be.")]
RewardColumn = Annotated[str, typer.Option(help="Column of the reward.")]
PropensityColumn = Annotated[str, typer.Option(help="Column of the logged action's propensity.")]
TargetColumn = Annotated[str, typer.Option(help="Column of its propensity under the candidate.")]
OtherColumns = Annotated[
    list[str] | None, typer.Option(help="ROLE=NAME for another column, such as at=timestamp; repeatable.")
]
LogFormat = Annotated[
    str | None, typer.Option("--from", help="Format of the logs. Default: their names or first lines tell.")
]
Output = Annotated[Format, typer.Option("--format", help="How to print the report.")]


def gate(  # noqa: PLR0913 - a command's options are its arguments
    context: typer.Context,
    files: Files,
    *,
    rewards_in: Rewards,
    policy: PolicyOption = None,
    against: Against = LOGGED,
    margin: Margin = 0.0,
    alpha: Alpha = 0.05,
    method: MethodOption = "betting",
    min_ess: MinEss = 100,
    min_outcomes: MinOutcomes = 1000,
    reward: RewardColumn = "reward",
    propensity: PropensityColumn = "propensity",
    target_propensity: TargetColumn = "target_propensity",
    column: OtherColumns = None,
    window_s: Annotated[
        float | None, typer.Option(help="Seconds that a reward may take; younger decisions may be open.", min=0)
    ] = None,
    target_version: Annotated[
        str | None, typer.Option(help="LINE@POSITION of the candidate, to tell what it learned from.")
    ] = None,
    trained_elsewhere: Annotated[
        bool, typer.Option("--trained-elsewhere", help="Declare that the candidate learned from none of these rows.")
    ] = False,
    threshold: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a threshold of the linter; repeatable.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File that keeps the state between looks at a log that grows.")
    ] = None,
    log_format: LogFormat = None,
    html: Annotated[Path | None, typer.Option(help="Also write the verdict as one HTML file.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Say whether the evidence is enough to promote a policy: promote, hold or refuse, with reasons."""
    with exit_codes():
        asked = Gate(
            reward_range=declared(rewards_in),
            policy=policy,
            against=against,
            margin=margin,
            alpha=alpha,
            method=method,
            min_ess=min_ess,
            min_outcomes=min_outcomes,
            window_s=window_s,
            target_version=target_version,
            trained_elsewhere=trained_elsewhere,
            thresholds=tuple(threshold or ()),
            roles=Roles(reward, propensity, target_propensity).named(column or ()),
        )
        with folding() as progress:
            before = None if state is None else load(state, asked)
            look = gate_files(files, asked, before, log_format=log_format, progress=progress)
        if state is not None and look.kept is not None:
            save(look.kept, asked, state)
        write_html(html, context, lambda said: gate_page(look.verdict, asked=said))
    if output is Format.JSON:
        typer.echo(json.dumps(verdict_as_json(look.verdict), indent=2, allow_nan=False))
    else:
        print_verdict(look.verdict, Console())
    raise typer.Exit(0 if look.verdict.decision == "promote" else 1)


def declared(said: str) -> tuple[float, float]:
    """Return the reward range that an option says."""
    found = reward_range(said)
    assert found is not None  # noqa: S101 - of a text there is one
    return found


@contextmanager
def folding() -> Iterator[Progress]:
    """Show how many decisions were gone through, where somebody sees it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Checking the log…") as status:
        yield lambda rows: status.update(f"Went through {rows:,} decisions…")
