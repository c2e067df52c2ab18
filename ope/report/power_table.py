"""A plan as text for the terminal; computes nothing."""

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ope.gate.power import Plan, Planned
from ope.report.table import UNDEFINED, number

_WHY = {"lift": "the lift", "outcomes": "--min-outcomes", "ess": "--min-ess"}


def print_plan(plan: Plan, console: Console) -> None:
    """Print the report on the console."""
    console.print(plan_as_text(plan))


def plan_as_text(plan: Plan) -> Group:
    """Return a renderable: what the log is worth, a table of lifts, and what can be detected by now."""
    gate = plan.config
    margin = f" above the margin of {gate.margin:g}" if gate.margin else ""
    head = (
        f"From {plan.n:,} decisions, worth {plan.ess:,.0f}: when a gate with α = {gate.alpha:g} would open{margin} "
        f"with a chance of {plan.power:.0%}, looked at then. Looks before that only help."
    )
    return Group(Text(head), _table(plan), Text(_now(plan)))


def _table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("lift", "decisions", "days", "because of"):
        table.add_column(heading, justify="left" if heading == "because of" else "right", no_wrap=True)
    for one in plan.planned:
        table.add_row(*_cells(one))
    return table


def _cells(one: Planned) -> tuple[str, str, str, str]:
    if one.decisions is None:
        return number(one.lift), UNDEFINED, UNDEFINED, "out of reach of these weights and rewards"
    return number(one.lift), f"{one.decisions:,}", number(one.days), _WHY[one.limit]


def _now(plan: Plan) -> str:
    shown = f"The log itself shows a lift of {number(plan.lift)}."
    if plan.detectable is None:
        return f"{shown} As many decisions as it has are too few for any lift to be detectable."
    return f"{shown} As many decisions as it has make lifts from {number(plan.detectable)} on detectable."
