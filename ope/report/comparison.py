"""A comparison of many targets as exact JSON and as a table for the terminal; computes nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ope.comparing.compare import Comparison, Ranked
from ope.report.exact_json import finite
from ope.report.fitting import Fitting
from ope.report.table import UNDEFINED, number

METHOD = "max_t"


def comparison_as_json(found: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values: null for what is not finite."""
    return {
        "n": found.n,
        "estimator": found.estimator,
        "baseline": found.baseline,
        "reference": found.reference,
        "level": found.level,
        "method": METHOD,
        "statements": found.statements,
        "critical": finite(found.critical),
        "seed": found.seed,
        "ranking": [_ranked_as_json(one) for one in found.ranking],
        "may_be_best": list(found.may_be_best) if found.baseline is None else None,
    }


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the table on the console."""
    console.print(comparison_as_table(found))


def comparison_as_table(found: Comparison) -> Group:
    """Return a renderable: one row for each target, best first, and in words what may be said of all of them."""
    less = f"less {'baseline' if found.baseline else 'best'}"
    wide, narrow = _table(found, ["value", "ess", less, "interval", "p"]), _table(found, ["value", "interval"])
    for one in found.ranking:
        difference, interval, p = _difference(one)
        wide.add_row(Text(one.policy), number(one.value), f"{one.ess:,.0f}", difference, interval, p, one.verdict)
        narrow.add_row(Text(one.policy), number(one.value), interval, one.verdict)
    return Group(Fitting([[wide], [narrow]]), Text(_legend(found)), *map(Text, found.notes))


def _table(found: Comparison, headings: Sequence[str]) -> Table:
    title = f"{len(found.ranking)} policies on {found.n:,} logged decisions, by {found.estimator}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy", min_width=16, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    return table


def _difference(one: Ranked) -> tuple[str, str, str]:
    if one.verdict == "reference":
        return UNDEFINED, UNDEFINED, UNDEFINED
    low, high = one.interval
    return number(one.difference), f"{number(low)} … {number(high)}", number(one.p_adjusted)


def _legend(found: Comparison) -> str:
    said = (
        f"interval, p: for all {found.statements:,} differences together (max-t, {found.level:.4g}); "
        f"reference: {found.reference}"
    )
    return said if found.baseline else f"{said}, the best here; may be best: {', '.join(found.may_be_best)}"


def _ranked_as_json(one: Ranked) -> dict[str, Any]:
    shown = {name: finite(value) if isinstance(value, float) else value for name, value in asdict(one).items()}
    return shown | {"interval": [finite(bound) for bound in one.interval]}
