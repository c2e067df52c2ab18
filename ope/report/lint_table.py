"""A lint as text for the terminal: faults worst first, then what passed and what is unknown; judges nothing."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ope.diagnostics.findings import Finding, Lint, Severity
from ope.report.finding_words import VERDICTS, because_of, compared_with, name_of, place_of, told_together

_STYLES: dict[Severity, str] = {"ok": "green", "warn": "yellow", "refuse": "bold red"}


def print_lint(lint: Lint, console: Console) -> None:
    """Print the report on the console."""
    console.print(lint_as_text(lint))


def lint_as_text(lint: Lint) -> Group:
    """Return a renderable: the verdict, each fault with place and way out, and the rest in a line each."""
    faults = lint.at_least("warn")
    passed = [one for one in lint.findings if one.severity == "ok"]
    parts: list[RenderableType] = [
        Text(f"{lint.n:,} rows of {', '.join(lint.files)}"),
        Text(VERDICTS[lint.verdict], style=_STYLES[lint.verdict]),
    ]
    for one in faults:
        parts += [Text(""), *fault(one)]
    parts += [Text(""), *_listed("Passed", told_together(passed))]
    unknown = [(name_of(one.code, one.policy), one.why) for one in lint.unknown]
    return Group(*parts, *_listed("Not known from this log", unknown))


def fault(one: Finding) -> Iterator[RenderableType]:
    """Yield the lines of one fault: what and where, what it means, and the way out."""
    head = Text(f"{one.severity}  ", style=_STYLES[one.severity])
    head.append(name_of(one.code, one.where.policy), style="bold")
    head.append("".join(f"  {words}" for words in (compared_with(one), place_of(one.where), because_of(one)) if words))
    yield head
    yield Padding(Text(one.says), (0, 0, 0, 2))
    yield Padding(Text(f"→ {one.way_out}"), (0, 0, 0, 2))


def _listed(title: str, lines: list[tuple[str, str]]) -> Iterator[RenderableType]:
    if lines:
        yield Text(title, style="bold")
    for name, words in lines:
        yield Padding(Text(f"{name}: {words}"), (0, 0, 0, 2))
