"""An evaluation as a table for the terminal; computes nothing."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ope.diagnostics import Diagnostics
from ope.evaluation import OF_COLUMNS, Estimate, Evaluation, PartEvaluation
from ope.formats.asides import Asides
from ope.report.exact_json import finite

UNDEFINED = "–"
PREFERRED = ("ips", "snips", "dr")
LEGEND = (
    "ess: rows that the estimate is worth; z: standard errors between the mean weight and 1; "
    "off support: its mass on actions that the logger would never play"
)


def report_as_table(report: Mapping[str, Evaluation]) -> Group:
    """Return a renderable: one table of estimates, then a line of diagnostics for each target."""
    estimates = [estimate for one in report.values() for estimate in one.estimates]
    table = Table(title=_title(report), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy", min_width=8, overflow="fold")
    table.add_column("estimator")
    for heading in ("value", "stderr", _interval_heading(estimates)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, evaluation in report.items():
        _add_estimates(table, _policy(name), evaluation.estimates)
    return Group(table, *_comparison_table(report), *_parts_tables(report), _diagnostics_table(report), *_notes(report))


def print_report(report: Mapping[str, Evaluation], console: Console) -> None:
    """Print the table on the console."""
    console.print(report_as_table(report))


def number(value: float | None) -> str:
    """Return a number to four significant digits, a dash for what is undefined."""
    shown = None if value is None else finite(value)
    return UNDEFINED if shown is None else f"{shown:,.4g}"


def _add_estimates(table: Table, policy: str, estimates: Sequence[Estimate]) -> None:
    for position, estimate in enumerate(estimates):
        table.add_row(
            Text(policy if position == 0 else ""),
            estimate.estimator,
            number(estimate.value),
            number(estimate.stderr),
            _bounds(estimate),
        )
    table.add_section()


def _comparison_table(report: Mapping[str, Evaluation]) -> list[Table]:
    compared = {name: one.against for name, one in report.items() if one.against is not None}
    if not compared:
        return []
    other, estimates = next((one.policy, one.estimates) for one in compared.values())
    table = Table(title=f"The same less {other}, on the same rows", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy", min_width=8, overflow="fold")
    table.add_column("estimator")
    for heading in ("difference", "stderr", _interval_heading(estimates)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, comparison in compared.items():
        _add_estimates(table, _policy(name), comparison.estimates)
    return [table]


def _parts_tables(report: Mapping[str, Evaluation]) -> list[Table]:
    """Return a table for each column that cuts the log and each policy, of one estimator that all parts have."""
    columns = dict.fromkeys(part.column for one in report.values() for part in one.parts)
    return [
        _part_table(_policy(name), [part for part in one.parts if part.column == column])
        for column in columns
        for name, one in report.items()
    ]


def _part_table(policy: str, parts: Sequence[PartEvaluation]) -> Table:
    shown = parts_estimator([part.evaluation for part in parts])
    table = Table(title=f"{policy} by {parts[0].column}, {shown}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(parts[0].column, min_width=8, overflow="fold")
    headings = ["rows", "ess", "value", _interval_heading(parts[0].evaluation.estimates)]
    other = parts[0].evaluation.against
    for heading in headings if other is None else [*headings, f"less {other.policy}"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for part in parts:
        of_part = part.evaluation
        cells = [f"{of_part.n:,}", f"{of_part.diagnostics.ess:,.0f}", *_cells(of_part.estimates, shown)]
        if of_part.against is not None:
            cells.append(_cells(of_part.against.estimates, shown)[1])
        table.add_row(Text(_part_name(part.value)), *cells)
    return table


def _part_name(value: str | None) -> str:
    return UNDEFINED if value is None else value.removesuffix("T00:00:00Z")


def parts_estimator(evaluations: Sequence[Evaluation]) -> str:
    """Return the estimator that is shown of parts: the last of these that all of them have, else any that they have."""
    common = set[str].intersection(*({one.estimator for one in of.estimates} for of in evaluations))
    preferred = [name for name in PREFERRED if name in common]
    return preferred[-1] if preferred else min(common, default="")


def _cells(estimates: Sequence[Estimate], shown: str) -> tuple[str, str]:
    found = next((one for one in estimates if one.estimator == shown), None)
    return (UNDEFINED, UNDEFINED) if found is None else (number(found.value), _bounds(found))


def _bounds(estimate: Estimate) -> str:
    return " … ".join(number(bound) for bound in estimate.interval)


def _diagnostics_table(report: Mapping[str, Evaluation]) -> Table:
    table = Table(
        title="How far to trust it",
        title_justify="left",
        caption=LEGEND,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("policy", min_width=8, overflow="fold")
    for heading in ("ess", "max weight", "mean weight", "z", "off support"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, evaluation in report.items():
        table.add_row(Text(_policy(name)), *_diagnostics(evaluation.n, evaluation.diagnostics))
    return table


def _diagnostics(n: int, of: Diagnostics) -> tuple[str, ...]:
    off = "unknown" if of.support_deficit is None else f"{of.support_deficit:.1%}"
    share = finite(of.ess / n)
    rows = UNDEFINED if share is None else f"{of.ess:,.0f} ({share:.1%})"
    return (rows, number(of.max_weight), number(of.mean_weight), number(of.mean_weight_z), off)


def _notes(report: Mapping[str, Evaluation]) -> list[Text]:
    notes = [Text(f"{_policy(name)}: {note}") for name, one in report.items() for note in one.notes]
    return notes + [line for name, one in report.items() for line in _bad_rows(_policy(name), one.bad_rows)]


def _bad_rows(policy: str, found: Asides | None) -> list[Text]:
    if found is None:
        return []
    more = f", of which the first {len(found.shown)} are" if found.broken > len(found.shown) else ""
    heading = f"{policy}: left out {found.broken:,} bad rows{more}{':' if found.broken else ''}"
    return [Text(heading), *(Text(f"  {row}") for row in found.shown)]


def _title(report: Mapping[str, Evaluation]) -> str:
    rows = {one.n for one in report.values()}
    return f"Off-policy evaluation of {max(rows, default=0):,} logged decisions"


def _interval_heading(estimates: Sequence[Estimate]) -> str:
    return f"{100 * estimates[0].level:.4g}% interval" if estimates else "interval"


def _policy(name: str) -> str:
    return "the target" if name == OF_COLUMNS else name
