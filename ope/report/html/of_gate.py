"""A gate's verdict as a page: the word and its reasons, the lift with its bounds, every rule, the log's faults."""

from collections.abc import Iterator, Sequence

from ope.diagnostics.findings import Finding
from ope.gate.verdict import Decision, Lift, Rule, Verdict
from ope.report.gate_table import MEANS, evidence_of, expected, parties
from ope.report.html import plots
from ope.report.html.of_lint import fault_card
from ope.report.html.plots import Card, Figure, Forest, Group, Mark, Page, Paragraph, Section, Table
from ope.report.numbers import UNDEFINED, plain, together

TONES: dict[Decision, str] = {"promote": "good", "hold": "warn", "refuse": "bad"}
LEAD = (
    "The candidate was not tried out for this. Each policy was judged from logged decisions: what came of one counts "
    "the more, the more often the policy would have made it. The bounds hold however often a growing log is looked at."
)


def gate_page(verdict: Verdict, *, asked: Sequence[tuple[str, str]] = ()) -> Page:
    """Return the page of a verdict; `asked` says with which command."""
    config, (candidate, champion) = verdict.config, parties(verdict)
    return Page(
        title=f"May {candidate} be promoted over {champion}?",
        verdicts=[plots.Verdict(verdict.decision, TONES[verdict.decision], _sentence(verdict))],
        lead=[Paragraph(LEAD), *(Paragraph(said) for said in [expected(verdict)] if said)],
        sections=list(_sections(verdict)),
        asked=[
            *asked,
            ("files", ", ".join(verdict.evidence.files)),
            ("decisions", evidence_of(verdict)),
            ("α", plain(config.alpha)),
            ("margin", plain(config.margin)),
            ("rows (SHA-256)", verdict.evidence.rows or UNDEFINED),
            ("config (SHA-256)", verdict.config_digest),
        ],
    )


def _sentence(verdict: Verdict) -> str:
    means, lift = MEANS[verdict.decision], verdict.lift
    said = f"{means[0].upper()}{means[1:]}"
    broken = next((rule for rule in verdict.rules if not rule.holds and rule.otherwise == verdict.decision), None)
    if broken is not None:
        said = f"{said} {broken.says}"
    if lift is None:
        return said
    value, lower, upper = together([lift.value, lift.lower, lift.upper], 2)
    return f"{said} The lift is {value} per decision; it is at least {lower} and at most {upper}."


def _sections(verdict: Verdict) -> Iterator[Section]:
    broken = [_card(rule) for rule in verdict.rules if not rule.holds]
    if broken:
        yield Section("What does not hold", cards=broken)
    if verdict.lift is not None:
        yield Section("What the decisions earned, and would have", figures=_figures(verdict.lift, verdict))
    rows = [
        (rule.name, "holds" if rule.holds else rule.otherwise, rule.says, _number(rule.value), _number(rule.threshold))
        for rule in verdict.rules
    ]
    yield Section("All rules", tables=[Table(("rule", "", "in words", "value", "threshold"), rows, words=3)])
    if verdict.findings:
        yield Section("What the linter says of the log", cards=_faults(verdict.findings))


def _faults(findings: Sequence[Finding]) -> list[Card]:
    return [fault_card(one) for one in findings]


def _card(rule: Rule) -> Card:
    aside = "" if rule.value is None else f"{_number(rule.value)} against {_number(rule.threshold)}"
    return Card(TONES[rule.otherwise], rule.name, rule.says, rule.way_out, aside)


def _figures(lift: Lift, verdict: Verdict) -> list[Figure]:
    values = (lift.value, lift.lower, lift.upper, verdict.config.margin)
    value, lower, upper, margin = together(values, 3)
    marks = [Mark("lift", lift.value, lift.lower, lift.upper), Mark("margin", verdict.config.margin)]
    earned = [("candidate", plain(lift.candidate)), ("champion", plain(lift.champion))]
    rows = [*earned, ("lift", value), ("at least", lower), ("at most", upper), ("margin", margin)]
    return [
        Figure(
            title="The lift of the candidate over the champion",
            alt=f"The lift is {value}, between {lower} and {upper}; it has to be above {margin}.",
            drawn=Forest([Group("", marks)], "difference in reward per decision", zero=0.0),
            table=Table(("", "reward per decision"), rows),
            caption=f"Each bound is true at all looks with probability {plain(1 - verdict.config.alpha)} or more.",
        )
    ]


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else plain(value)
