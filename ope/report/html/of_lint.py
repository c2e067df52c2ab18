"""A lint as a page: the verdict, each fault with its place and the way out, the weights, and the rest."""

from collections.abc import Sequence

from ope.diagnostics.findings import Finding, Lint, View
from ope.diagnostics.thresholds import DEFAULTS
from ope.report.finding_words import VERDICTS, because_of, compared_with, name_of, place_of, told_together
from ope.report.html.of_parts import ess_figure
from ope.report.html.of_weights import weights_figure
from ope.report.html.plots import Card, Figure, Group, Mark, Page, Paragraph, Section, Table, Verdict
from ope.report.html.words import TONES, policy_name
from ope.report.numbers import percent, plain

LEAD = (
    "A fault that follows from another goes when that one is mended. After the arrow: what to change where the log is "
    "written."
)
_WORDS = {"ok": "sound", "warn": "with care", "refuse": "do not use"}


def lint_page(lint: Lint, *, asked: Sequence[tuple[str, str]] = ()) -> Page:
    """Return the page of a lint; `asked` says with which command."""
    return Page(
        title="What is wrong with the log" if lint.at_least("warn") else "The log is sound",
        verdicts=[Verdict(_WORDS[lint.verdict], TONES[lint.verdict], f"{VERDICTS[lint.verdict]} {_counted(lint)}")],
        lead=[Paragraph(LEAD)],
        sections=lint_sections(lint),
        asked=[*asked, ("files", ", ".join(lint.files)), ("rows", f"{lint.n:,}")],
    )


def lint_sections(lint: Lint) -> list[Section]:
    """Return the faults, the plots, what passed and what is unknown."""
    faults = [fault_card(one) for one in lint.at_least("warn")]
    passed = [one for one in lint.findings if one.severity == "ok"]
    figures = [figure for view in lint.views for figure in _figures(view)]
    unknown = [(name_of(one.code, one.policy), one.why) for one in lint.unknown]
    found = [
        Section("Faults", cards=faults) if faults else None,
        Section("Weights", figures=figures) if figures else None,
        Section("Passed", tables=[Table(("check", "what was seen"), told_together(passed), words=2)], folded=True),
        Section("Not known from this log", tables=[Table(("check", "why"), unknown, words=2)], folded=True)
        if unknown
        else None,
    ]
    return [section for section in found if section is not None]


def _counted(lint: Lint) -> str:
    roots = [one for one in lint.at_least("warn") if one.because is None]
    if not roots:
        return f"Nothing in {lint.n:,} rows speaks against judging a policy from them."
    grave = sum(one.severity == "refuse" for one in roots)
    faults = [f"{count} {kind}" for count, kind in ((grave, "grave"), (len(roots) - grave, "lesser")) if count]
    return f"{' and '.join(faults)} {'fault' if len(roots) == 1 else 'faults'}; the first: {roots[0].says}"


def fault_card(one: Finding) -> Card:
    """Return a finding as a card: how bad, what and where, what it means, and the way out."""
    aside = " · ".join(filter(None, (compared_with(one), place_of(one.where), because_of(one))))
    return Card(TONES[one.severity], name_of(one.code, one.where.policy), one.says, one.way_out, aside)


def _figures(view: View) -> list[Figure]:
    policy = policy_name(view.policy)
    histogram = weights_figure(policy, view.weights)
    found = [] if histogram is None else [histogram]
    for by, worth in view.by:
        marks = [Mark("(none)" if one.name is None else one.name or "(empty)", one.rows) for one in worth]
        rows = [(mark.name, plain(one.rows, 3), percent(one.share)) for mark, one in zip(marks, worth, strict=True)]
        table = Table((by, "effective rows", "share of the weight"), rows)
        limit = DEFAULTS["action_ess_warn" if by == "action" else "segment_ess_warn"]
        title = f"How many rows each {by} is worth for {policy}"
        found += [ess_figure(title, [Group("", marks)], limit, table)] if marks else []
    return found
