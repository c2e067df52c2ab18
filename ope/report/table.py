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
from ope.report.fitting import Fitting
from ope.reward_models.asked import COLUMN

UNDEFINED = "–"
UNKNOWN = (
    "nothing says what the model behind q_logged and q_target was trained on; if on these rows, dm, dr and their kin "
    "are biased. Declare it with --trained-until or --trained, or have one cross-fitted with --model"
)
PREFERRED = ("ips", "snips", "dr")
MEASURES = ("ess", "max weight", "mean weight", "z", "off support")
LEGEND = (
    "ess: rows that the estimate is worth; z: standard errors between the mean weight and 1; "
    "off support: its mass on actions that the logger would never play"
)


def report_as_table(report: Mapping[str, Evaluation]) -> Group:
    """Return a renderable: one table of estimates, then a line of diagnostics for each target."""
    estimates = {name: one.estimates for name, one in report.items()}
    return Group(
        _estimates_table(_title(report), "value", estimates),
        *_comparison_table(report),
        *_parts_tables(report),
        _diagnostics_table(report),
        *_notes(report),
    )


def print_report(report: Mapping[str, Evaluation], console: Console) -> None:
    """Print the tables on the console, however narrow it is."""
    console.print(report_as_table(report), crop=False)


def number(value: float | None) -> str:
    """Return a number to four significant digits, a dash for what is undefined."""
    shown = None if value is None else finite(value)
    return UNDEFINED if shown is None else f"{shown:,.4g}"


def _table(title: str, words: str, headings: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    if words:
        table.add_column(words, min_width=8, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "estimator" else "right", no_wrap=True)
    return table


def _estimates_table(title: str, value: str, estimates: Mapping[str, Sequence[Estimate]]) -> Fitting:
    """Return the estimates in one table or, in a narrow terminal, in one for each policy without standard errors."""
    interval = _interval_heading([one for found in estimates.values() for one in found])
    wide = _table(title, "policy", ["estimator", value, "stderr", interval])
    narrow = []
    for name, found in estimates.items():
        alone = _table(f"{title}: {_policy(name)}", "", ["estimator", value, interval])
        for place, one in enumerate(found):
            cells = _value(one), number(one.stderr), _bounds(one)
            wide.add_row(Text("" if place else _policy(name)), one.estimator, *cells)
            alone.add_row(one.estimator, cells[0], cells[2])
        wide.add_section()
        narrow.append(alone)
    return Fitting([[wide], narrow])


def _value(estimate: Estimate) -> str:
    if estimate.value_bounds is None:
        return number(estimate.value)
    low, high = estimate.value_bounds
    return f"{number(low)} … {number(high)}"


def _comparison_table(report: Mapping[str, Evaluation]) -> list[Fitting]:
    compared = {name: one.against for name, one in report.items() if one.against is not None}
    if not compared:
        return []
    other = next(one.policy for one in compared.values())
    title = f"The same less {other}, on the same rows"
    return [_estimates_table(title, "difference", {name: one.estimates for name, one in compared.items()})]


def _parts_tables(report: Mapping[str, Evaluation]) -> list[Fitting]:
    """Return a table for each column that cuts the log and each policy, of one estimator that all parts have."""
    columns = dict.fromkeys(part.column for one in report.values() for part in one.parts)
    return [
        _part_table(_policy(name), [part for part in one.parts if part.column == column])
        for column in columns
        for name, one in report.items()
    ]


def _part_table(policy: str, parts: Sequence[PartEvaluation]) -> Fitting:
    shown = parts_estimator([part.evaluation for part in parts])
    title, column = f"{policy} by {parts[0].column}, {shown}", parts[0].column
    interval, other = _interval_heading(parts[0].evaluation.estimates), parts[0].evaluation.against
    less = [] if other is None else [f"less {other.policy}"]
    wide = _table(title, column, ["rows", "ess", "value", interval, *less])
    narrow = [_table(title, column, ["ess", "value", interval])]
    narrow += [_table(f"{title}, less {other.policy}", column, ["difference", interval])] if other is not None else []
    for part in parts:
        name, of_part = Text(_part_name(part.value)), part.evaluation
        value = [f"{of_part.diagnostics.ess:,.0f}", *_cells(of_part.estimates, shown)]
        lift = () if of_part.against is None else _cells(of_part.against.estimates, shown)
        wide.add_row(name, f"{of_part.n:,}", *value, *lift[1:])
        narrow[0].add_row(name, *value)
        if lift:
            narrow[1].add_row(name, *lift)
    return Fitting([[wide], narrow])


def _part_name(value: str | None) -> str:
    return UNDEFINED if value is None else value.removesuffix("T00:00:00Z")


def parts_estimator(evaluations: Sequence[Evaluation]) -> str:
    """Return the estimator that is shown of parts: the last of these that all of them have, else any that they have."""
    common = set[str].intersection(*({one.estimator for one in of.estimates} for of in evaluations))
    preferred = [name for name in PREFERRED if name in common]
    return preferred[-1] if preferred else min(common, default="")


def _cells(estimates: Sequence[Estimate], shown: str) -> tuple[str, str]:
    found = next((one for one in estimates if one.estimator == shown), None)
    return (UNDEFINED, UNDEFINED) if found is None else (_value(found), _bounds(found))


def _bounds(estimate: Estimate) -> str:
    return " … ".join(number(bound) for bound in estimate.interval)


def _diagnostics_table(report: Mapping[str, Evaluation]) -> Group:
    title = "How far to trust it"
    wide, narrow = _table(title, "policy", MEASURES), []
    for name, evaluation in report.items():
        cells = _diagnostics(evaluation.n, evaluation.diagnostics)
        wide.add_row(Text(_policy(name)), *cells)
        alone = Table(title=Text(f"{title}: {_policy(name)}"), title_justify="left", box=None, show_header=False)
        for measure, cell in zip(MEASURES, cells, strict=True):
            alone.add_row(measure, cell)
        narrow.append(alone)
    return Group(Fitting([[wide], narrow]), Text(LEGEND, style="dim italic"))


def _diagnostics(n: int, of: Diagnostics) -> tuple[str, ...]:
    off = "unknown" if of.support_deficit is None else f"{of.support_deficit:.1%}"
    share = finite(of.ess / n)
    rows = UNDEFINED if share is None else f"{of.ess:,.0f} ({share:.1%})"
    return (rows, number(of.max_weight), number(of.mean_weight), number(of.mean_weight_z), off)


def _notes(report: Mapping[str, Evaluation]) -> list[Text]:
    notes = [Text(f"{_policy(name)}: {note}") for name, one in report.items() for note in told_once(one.notes)]
    notes += [Text(f"{_policy(name)}: {UNKNOWN}") for name, one in report.items() if one.predictions_from == COLUMN]
    return notes + [line for name, one in report.items() for line in _bad_rows(_policy(name), one.bad_rows)]


def told_once(notes: Sequence[str]) -> list[str]:
    """Return the notes, those that say the same of several estimators as one."""
    of: dict[str, list[str]] = {}
    for note in notes:
        name, _, says = note.partition(": ")
        alone = not says or " " in name  # no estimator's name
        of.setdefault(note if alone else says, []).extend([] if alone else [name])
    return [f"{', '.join(names)}: {says}" if names else says for says, names in of.items()]


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
