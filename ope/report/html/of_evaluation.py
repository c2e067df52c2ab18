"""An evaluation as a page: what it says in words, then in plots and tables, then what was asked."""

import datetime as dt
from collections.abc import Mapping, Sequence

from ope.diagnostics.thresholds import DEFAULTS
from ope.evaluation import Estimate, Evaluation, PartEvaluation
from ope.parts import AT
from ope.report.html.of_weights import weights_figure
from ope.report.html.plots import (
    Card,
    Figure,
    Forest,
    Group,
    Lollipops,
    Mark,
    OverTime,
    Page,
    Paragraph,
    Section,
    Table,
    Verdict,
)
from ope.report.html.words import TONES, compared, earned, level, policy_name, told
from ope.report.numbers import UNDEFINED, percent, plain
from ope.report.table import parts_estimator
from ope.report.trust import Reason, reasons, worst

EARNED, MORE = "reward per decision", "difference in reward per decision"
MOST_PARTS = 25
"""How many parts a plot has; the table has all."""
_WORDS = {"ok": "can carry that", "warn": "can carry that, with care", "refuse": "cannot carry that"}
_DASHES = "Arrows point to what lies beyond the plot; hollow dots have no interval."


def evaluation_page(
    report: Mapping[str, Evaluation], *, files: Sequence[str], asked: Sequence[tuple[str, str]] = ()
) -> Page:
    """Return the page of one or several policies, judged on these files; `asked` says with which command."""
    names = [policy_name(name) for name in report]
    rows = max((one.n for one in report.values()), default=0)
    return Page(
        title=f"What the log says of {_listed(names)}",
        verdicts=[_verdict(name, one) for name, one in report.items()],
        lead=[Paragraph(" ".join(filter(None, (earned(n, one), compared(one))))) for n, one in report.items()],
        sections=evaluation_sections(report),
        asked=[*asked, ("files", ", ".join(files)), ("rows", f"{rows:,}"), *_intervals(report)],
    )


def evaluation_sections(report: Mapping[str, Evaluation]) -> list[Section]:
    """Return what follows the words: plots, tables and notes; a page of a gate has them too."""
    found = [
        Section("Estimates", figures=[_estimates(report), *_differences(report)]),
        *_sections_of_parts(report),
        Section("How far to trust them", cards=_reasons(report), figures=_weights(report), tables=[_trust(report)]),
        Section("All estimates", tables=_tables(report)),
    ]
    notes = [Paragraph(note, strong=f"{policy_name(name)}:") for name, one in report.items() for note in one.notes]
    return [*found, *([Section("Notes", paragraphs=notes)] if notes else []), *_bad_rows(report)]


def _verdict(name: str, evaluation: Evaluation) -> Verdict:
    found = reasons(evaluation.n, evaluation.diagnostics)
    severity = worst(found)
    says = " ".join(_sentence(one) for one in found if one.severity == severity)
    return Verdict(policy_name(name), TONES[severity], f"The log {_WORDS[severity]}: {says[0].lower()}{says[1:]}")


def _sentence(reason: Reason) -> str:
    return f"{reason.says[0].upper()}{reason.says[1:]}"


def _reasons(report: Mapping[str, Evaluation]) -> list[Card]:
    return [
        Card(TONES[one.severity], policy_name(name), _sentence(one))
        for name, evaluation in report.items()
        for one in reasons(evaluation.n, evaluation.diagnostics)
        if one.severity != "ok"
    ]


def mark(name: str, estimate: Estimate | None) -> Mark:
    """Return an estimate as it is drawn, under a name."""
    return Mark(name, None) if estimate is None else Mark(name, estimate.value, *estimate.interval)


def _estimates(report: Mapping[str, Evaluation]) -> Figure:
    estimates = {name: one.estimates for name, one in report.items()}
    said = " ".join(earned(name, one) for name, one in report.items())
    return _forest("What each policy would have earned", EARNED, report, estimates, said, zero=None)


def _differences(report: Mapping[str, Evaluation]) -> list[Figure]:
    found = {name: one.against.estimates for name, one in report.items() if one.against is not None}
    if not found:
        return []
    other = next(one.against.policy for one in report.values() if one.against is not None)
    said = " ".join(compared(one) for name, one in report.items())
    return [_forest(f"How much more than {other}", MORE, report, found, said, zero=0.0)]


def _forest(
    title: str,
    axis: str,
    report: Mapping[str, Evaluation],
    estimates: Mapping[str, Sequence[Estimate]],
    said: str,
    *,
    zero: float | None,
) -> Figure:
    several = len(report) > 1
    groups = [
        Group(policy_name(n) if several else "", [mark(one.estimator, one) for one in found])
        for n, found in estimates.items()
    ]
    return Figure(
        title=title, alt=f"Estimates with intervals, by estimator. {said}", drawn=Forest(groups, axis, zero),
        table=_table("value" if zero is None else "difference", estimates), caption=_DASHES,
    )  # fmt: skip


def _table(value: str, estimates: Mapping[str, Sequence[Estimate]]) -> Table:
    rows = [
        (policy_name(name), one.estimator, told(one)[0], plain(one.stderr), _between(one))
        for name, found in estimates.items()
        for one in found
    ]
    heading = next((f"{level(one)} interval" for found in estimates.values() for one in found), "interval")
    return Table(("policy", "estimator", value, "standard error", heading), rows, words=2)


def _tables(report: Mapping[str, Evaluation]) -> list[Table]:
    found = {name: one.against.estimates for name, one in report.items() if one.against is not None}
    values = _table("value", {name: one.estimates for name, one in report.items()})
    return [values, _table("difference", found)] if found else [values]


def _between(estimate: Estimate) -> str:
    _, low, high = told(estimate)
    return f"{low} … {high}"


def _weights(report: Mapping[str, Evaluation]) -> list[Figure]:
    found = [weights_figure(policy_name(name), one.weights) for name, one in report.items() if one.weights is not None]
    return [figure for figure in found if figure is not None]


def _trust(report: Mapping[str, Evaluation]) -> Table:
    rows = []
    for name, one in report.items():
        of = one.diagnostics
        off = "unknown" if of.support_deficit is None else percent(of.support_deficit)
        cells = (plain(of.ess, 3), percent(of.ess / one.n), plain(of.max_weight), plain(of.mean_weight))
        rows.append((policy_name(name), f"{one.n:,}", *cells, plain(of.mean_weight_z, 2), off))
    headings = ("policy", "rows", "worth", "of all", "largest weight", "mean weight", "z of the mean", "off support")
    return Table(headings, rows)


def _sections_of_parts(report: Mapping[str, Evaluation]) -> list[Section]:
    columns = dict.fromkeys(part.column for one in report.values() for part in one.parts)
    found = []
    for column in columns:
        figures = []
        for name, one in report.items():
            parts = [part for part in one.parts if part.column == column]
            figures += _of_parts(policy_name(name), column, parts) if parts else []
        found.append(Section(f"By {column}", figures=figures))
    return found


def _of_parts(policy: str, column: str, parts: Sequence[PartEvaluation]) -> list[Figure]:
    shown = parts_estimator([part.evaluation for part in parts])
    marks = [mark(_part(part), _chosen(part, shown)) for part in parts]
    table = _parts_table(column, parts, shown)
    title = f"{policy} by {column} ({shown})"
    timed = [(at, m) for m, part in zip(marks, parts, strict=True) if (at := _seconds(part.value)) is not None]
    if column == AT and timed:
        drawn: OverTime | Forest = OverTime([at for at, _ in timed], [m for _, m in timed], "start of the window")
    else:
        drawn = Forest([Group("", marks[:MOST_PARTS])], EARNED)
    more = _more(len(parts)) if isinstance(drawn, Forest) else ""
    alt = f"{len(parts)} parts of the log, each with its estimate and interval.{more}"
    worth = [Mark(_part(part), part.evaluation.diagnostics.ess) for part in parts]
    return [
        Figure(title, alt, drawn, table, caption=f"{_DASHES}{more}"),
        ess_figure(f"What each {column} is worth for {policy}", worth, DEFAULTS["segment_ess_warn"]),
    ]


def ess_figure(title: str, worth: Sequence[Mark], limit: float) -> Figure:
    """Return effective rows as a figure: what is below the limit has no interval of its own."""
    shown = list(worth)[:MOST_PARTS]
    weak = [one.name for one in worth if one.value is not None and one.value < limit]
    more = _more(len(worth))
    says = f"{len(weak)} of {len(worth)} are below {plain(limit)} effective rows (dashed line), and hardly known."
    return Figure(
        title, f"Effective rows, one line each. {says}{more}", Lollipops(shown, "effective rows", limit),
        Table(("", "effective rows"), [(one.name, plain(one.value, 3)) for one in worth]), caption=says + more,
    )  # fmt: skip


def _more(parts: int) -> str:
    return f" The plot has the first {MOST_PARTS} of {parts}; the numbers have all." if parts > MOST_PARTS else ""


def _part(part: PartEvaluation) -> str:
    return "(none)" if part.value is None else part.value.removesuffix("T00:00:00Z") or "(empty)"


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else dt.datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None


def _chosen(part: PartEvaluation, shown: str) -> Estimate | None:
    return next((one for one in part.evaluation.estimates if one.estimator == shown), None)


def _parts_table(column: str, parts: Sequence[PartEvaluation], shown: str) -> Table:
    rows = []
    for part in parts:
        best = _chosen(part, shown)
        said = (UNDEFINED, UNDEFINED) if best is None else (told(best)[0], _between(best))
        of = part.evaluation
        rows.append((_part(part), f"{of.n:,}", plain(of.diagnostics.ess, 3), *said))
    return Table((column, "rows", "worth", shown, "interval"), rows)


def _bad_rows(report: Mapping[str, Evaluation]) -> list[Section]:
    found = next((one.bad_rows for one in report.values() if one.bad_rows is not None), None)
    if found is None:
        return []
    says = f"{found.broken:,} rows broke a rule and were left out; the first {len(found.shown)} are listed."
    rows = [(one.source, UNDEFINED if one.row is None else f"{one.row:,}", one.value, one.rule) for one in found.shown]
    tables = [Table(("file", "row", "what it says", "the rule"), rows, words=4)] if rows else []
    return [
        Section(
            "Rows left out", paragraphs=[Paragraph(says if found.broken else "No row broke a rule.")], tables=tables
        )
    ]


def _intervals(report: Mapping[str, Evaluation]) -> list[tuple[str, str]]:
    found = dict.fromkeys((one.method, level(one)) for of in report.values() for one in of.estimates)
    return [("interval", f"{method}, {said}") for method, said in found]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
