"""A gate's verdict as text for the terminal: the verdict, its rules, the lift and the log's faults; judges nothing."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ope.gate.config import LOGGED
from ope.gate.verdict import Decision, Lift, Rule, Verdict
from ope.report.gate_json import when
from ope.report.lint_table import fault
from ope.report.table import number

_STYLES: dict[Decision, str] = {"promote": "bold green", "hold": "bold yellow", "refuse": "bold red"}
MEANS: dict[Decision, str] = {
    "promote": "every rule holds.",
    "hold": "the evidence is not there yet.",
    "refuse": "this log cannot carry a verdict.",
}


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the report on the console."""
    console.print(verdict_as_text(verdict))


def verdict_as_text(verdict: Verdict) -> Group:
    """Return a renderable: the verdict, what does not hold and what to do, all rules, the lift, the log's faults."""
    parts: list[RenderableType] = [Text(""), _head(verdict), Text("")]
    for rule in verdict.rules:
        if not rule.holds:
            parts += [*_broken(rule), Text("")]
    said = expected(verdict)
    parts += [*([Text(f"{said}\n")] if said else []), _rules(verdict)]
    if verdict.lift is not None:
        parts.append(_lift(verdict.lift, verdict))
    parts.append(Text(evidence_of(verdict)))
    if verdict.findings:
        parts.append(Text("\nWhat the linter says of the log", style="bold"))
    for one in verdict.findings:
        parts += fault(one)
    return Group(*parts)


def _head(verdict: Verdict) -> Text:
    head = Text(verdict.decision.upper(), style=_STYLES[verdict.decision])
    return head.append(f"  {' against '.join(parties(verdict))}: {MEANS[verdict.decision]}", style="not bold default")


def parties(verdict: Verdict) -> tuple[str, str]:
    """Return what candidate and champion are called."""
    candidate = verdict.config.policy or f"the target in {verdict.config.roles.target_propensity}"
    against = verdict.config.against
    return candidate, "the policy that logged" if against == LOGGED else against


def _broken(rule: Rule) -> Iterator[RenderableType]:
    yield Text(f"{rule.name}: {rule.says}")
    if rule.way_out:
        yield Padding(Text(f"→ {rule.way_out}"), (0, 0, 0, 2))


def expected(verdict: Verdict) -> str:
    """Return how many more decisions are expected to be enough, where some are; else nothing."""
    if verdict.decision != "hold" or verdict.more == 0:
        return ""
    if verdict.more is None:
        return "If things go on as they did, the gate is not expected to open."
    return f"If things go on as they did, about {verdict.more:,} more decisions are expected to be enough."


def _rules(verdict: Verdict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Rules", title_justify="left")
    table.add_column("rule", no_wrap=True)
    table.add_column("")
    for heading in ("value", "threshold"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in words")
    for rule in verdict.rules:
        mark = Text("holds", style="green") if rule.holds else Text(rule.otherwise, style=_STYLES[rule.otherwise])
        table.add_row(rule.name, mark, number(rule.value), number(rule.threshold), Text(rule.says))
    return table


def _lift(lift: Lift, verdict: Verdict) -> Table:
    alpha = verdict.config.alpha
    table = Table(box=box.SIMPLE_HEAD, title="What the decisions earned, and would have", title_justify="left")
    for heading in ("candidate", "champion", "lift", "stderr", "at least", "at most"):
        table.add_column(heading, justify="right", no_wrap=True)
    found = (lift.candidate, lift.champion, lift.value, lift.stderr, lift.lower, lift.upper)
    table.add_row(*(number(value) for value in found))
    table.caption = f"bounds of the lift by {verdict.config.method}, each true at every look but for α = {alpha:g}"
    table.caption_justify = "left"
    return table


def evidence_of(verdict: Verdict) -> str:
    """Return how many decisions the verdict rests on, and up to which."""
    found = verdict.evidence
    last = f", the last {found.last_id}" if found.last_id else ""
    at = f" of {when(found.last_at)}" if found.last_at is not None else ""
    new = f" ({found.new:,} of them new)" if found.new != found.folded else ""
    waiting = f"; {found.waiting:,} wait for an outcome" if found.waiting else ""
    return f"Folded {found.folded:,} of {found.n:,} decisions{new}{last}{at}{waiting}."
