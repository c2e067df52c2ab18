"""An evaluation as a page: what it says in words, then in plots and tables, then what was asked."""

from collections.abc import Mapping, Sequence

from ope.evaluation import Estimate, Evaluation
from ope.report.html.of_parts import sections_of_parts
from ope.report.html.of_weights import weights_figure
from ope.report.html.plots import (
    Card,
    Figure,
    Forest,
    Group,
    Page,
    Paragraph,
    Section,
    Table,
    Verdict,
)
from ope.report.html.scale import marks_in_words
from ope.report.html.words import EARNED, TONES, between, compared, earned, level, mark, policy_name, told
from ope.report.numbers import UNDEFINED, percent, plain
from ope.report.table import told_once
from ope.report.trust import Reason, reasons, worst

LEAD = (
    "No policy was tried out for this. Each was judged from decisions that another one made and logged: what came of a "
    "decision counts the more, the more often the policy would have made it."
)
WORTH = (
    "Worth: how many rows of the policy's own would say as much (effective rows). Mean weight: 1 but for chance, where "
    "propensities are true and nothing that the policy does was impossible; z counts standard errors from 1. Off "
    "support: the share of its choices that the logger would never make."
)
MORE = "difference in reward per decision"
_WORDS = {"ok": "can carry that", "warn": "can carry that, with care", "refuse": "cannot carry that"}


def evaluation_page(
    report: Mapping[str, Evaluation], *, files: Sequence[str], asked: Sequence[tuple[str, str]] = ()
) -> Page:
    """Return the page of one or several policies, judged on these files; `asked` says with which command."""
    names = [policy_name(name) for name in report]
    rows = max((one.n for one in report.values()), default=0)
    return Page(
        title=f"What the log says of {_listed(names)}",
        verdicts=[_verdict(name, one) for name, one in report.items()],
        lead=[Paragraph(LEAD)],
        sections=evaluation_sections(report),
        asked=[*asked, ("files", ", ".join(files)), ("rows", f"{rows:,}"), *_intervals(report)],
    )


def evaluation_sections(report: Mapping[str, Evaluation]) -> list[Section]:
    """Return what follows the words: plots, tables and notes; a page of a gate has them too."""
    found = [
        Section("Estimates", figures=[_estimates(report), *_differences(report)]),
        *sections_of_parts(report),
        Section(
            "How far to trust them",
            paragraphs=[Paragraph(WORTH)],
            cards=_reasons(report),
            figures=_weights(report),
            tables=[_trust(report)],
        ),
        Section("All estimates", tables=_tables(report)),
    ]
    notes = [
        Paragraph(note, strong=f"{policy_name(name)}:") for name, one in report.items() for note in told_once(one.notes)
    ]
    return [*found, *([Section("Notes", paragraphs=notes)] if notes else []), *_bad_rows(report)]


def _verdict(name: str, evaluation: Evaluation) -> Verdict:
    found = reasons(evaluation.n, evaluation.diagnostics)
    severity = worst(found)
    says = " ".join(_sentence(one) for one in found if one.severity == severity)
    carried = f"The log {_WORDS[severity]}: {says[0].lower()}{says[1:]}"
    sentences = (earned(name, evaluation), compared(name, evaluation), carried)
    return Verdict(policy_name(name), TONES[severity], " ".join(filter(None, sentences)))


def _sentence(reason: Reason) -> str:
    return f"{reason.says[0].upper()}{reason.says[1:]}"


def _reasons(report: Mapping[str, Evaluation]) -> list[Card]:
    return [
        Card(TONES[one.severity], policy_name(name), _sentence(one))
        for name, evaluation in report.items()
        for one in reasons(evaluation.n, evaluation.diagnostics)
        if one.severity != "ok"
    ]


def _estimates(report: Mapping[str, Evaluation]) -> Figure:
    estimates = {name: one.estimates for name, one in report.items()}
    said = " ".join(earned(name, one) for name, one in report.items())
    return _forest("What each policy would have earned", EARNED, estimates, said, zero=None)


def _differences(report: Mapping[str, Evaluation]) -> list[Figure]:
    found = _compared(report)
    if not found:
        return []
    other = next(one.against.policy for one in report.values() if one.against is not None)
    said = " ".join(filter(None, (compared(name, one) for name, one in report.items())))
    return [_forest(f"How much more than {other}", MORE, found, said, zero=0.0)]


def _compared(report: Mapping[str, Evaluation]) -> dict[str, Sequence[Estimate]]:
    """Return the differences of each policy, but of the one that all are compared with."""
    of = {name: one.against for name, one in report.items() if one.against is not None}
    return {name: one.estimates for name, one in of.items() if one.policy != name}


def _forest(
    title: str,
    axis: str,
    estimates: Mapping[str, Sequence[Estimate]],
    said: str,
    *,
    zero: float | None,
) -> Figure:
    several = len(estimates) > 1
    groups = [
        Group(policy_name(n) if several else "", [mark(one.estimator, one) for one in found])
        for n, found in estimates.items()
    ]
    return Figure(
        title=title,
        alt=f"Estimates with intervals, by estimator. {said}",
        drawn=Forest(groups, axis, zero),
        table=_table("value" if zero is None else "difference", estimates),
        caption=marks_in_words([group.marks for group in groups], also=zero),
    )


def _table(value: str, estimates: Mapping[str, Sequence[Estimate]]) -> Table:
    rows = [
        (policy_name(name), one.estimator, told(one)[0], plain(one.stderr), between(one))
        for name, found in estimates.items()
        for one in found
    ]
    heading = next((f"{level(one)} interval" for found in estimates.values() for one in found), "interval")
    return Table(("policy", "estimator", value, "standard error", heading), rows, words=2)


def _tables(report: Mapping[str, Evaluation]) -> list[Table]:
    found = _compared(report)
    values = _table("value", {name: one.estimates for name, one in report.items()})
    return [values, _table("difference", found)] if found else [values]


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
