"""`honeyguide ope power`: how many decisions until a lift is detectable by the gate; parses options and prints."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from bandit.cli.exits import exit_codes
from bandit.cli.ope_gate import (
    Against,
    Alpha,
    Files,
    LogFormat,
    Margin,
    MethodOption,
    MinEss,
    MinOutcomes,
    OtherColumns,
    Output,
    PolicyOption,
    PropensityColumn,
    RewardColumn,
    Rewards,
    TargetColumn,
    declared,
)
from bandit.cli.output import Format
from ope.diagnostics.roles import Roles
from ope.gate.config import LOGGED, Gate
from ope.gate.power import Progress, plan_files
from ope.report.power_json import plan_as_json
from ope.report.power_table import print_plan

AROUND = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The lifts that are planned for beside each that is asked about, as multiples of it above the margin."""


def power(  # noqa: PLR0913 - a command's options are its arguments
    files: Files,
    *,
    rewards_in: Rewards,
    lift: Annotated[list[float], typer.Option(help="The lift that should not be missed, in reward units; repeatable.")],
    chance: Annotated[
        float, typer.Option("--power", help="The chance with which the gate is to open for that lift.")
    ] = 0.8,
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
    log_format: LogFormat = None,
    output: Output = Format.TABLE,
) -> None:
    """Say from a log how many decisions it takes until a lift is detectable, and which lift is by now."""
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
            roles=Roles(reward, propensity, target_propensity).named(column or ()),
        )
        lifts = _around(lift, margin)
        with _planning(len(lifts)) as progress:
            found = plan_files(files, asked, lifts, power=chance, log_format=log_format, progress=progress)
    if output is Format.JSON:
        typer.echo(json.dumps(plan_as_json(found), indent=2, allow_nan=False))
    else:
        print_plan(found, Console())


def _around(lifts: list[float], margin: float) -> list[float]:
    if len(lifts) > 1:
        return sorted(set(lifts))
    # The lift as it was given is among them, not what is left of it after rounding.
    return [lifts[0] if factor == 1 else margin + factor * (lifts[0] - margin) for factor in AROUND]


@contextmanager
def _planning(total: int) -> Iterator[Progress]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("Planning", total=total + 1)  # one more for what is detectable by now
        yield lambda done: bar.update(task, completed=done)
