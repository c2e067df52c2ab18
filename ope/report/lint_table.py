"""A lint as text for the terminal: faults worst first, then what passed and what is unknown; judges nothing."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ope.diagnostics.findings import Finding, Lint, Severity, Where
from ope.report.table import number

_STYLES: dict[Severity, str] = {"ok": "green", "warn": "yellow", "refuse": "bold red"}
_VERDICTS: dict[Severity, str] = {
    "ok": "No fault was found.",
    "warn": "The log can be judged, with care.",
    "refuse": "The log should not be judged as it is.",
}


def print_lint(lint: Lint, console: Console) -> None:
    """Print the report on the console."""
    console.print(lint_as_text(lint))


def lint_as_text(lint: Lint) -> Group:
    """Return a renderable: the verdict, each fault with place and way out, and the rest in a line each."""
    faults = lint.at_least("warn")
    passed = [one for one in lint.findings if one.severity == "ok"]
    parts: list[RenderableType] = [
        Text(f"{lint.n:,} rows of {', '.join(lint.files)}"),
        Text(_VERDICTS[lint.verdict], style=_STYLES[lint.verdict]),
    ]
    for one in faults:
        parts += [Text(""), *fault(one)]
    parts += [Text(""), *_listed("Passed", _together(passed))]
    unknown = [(f"{one.code}{_of(one.policy)}", one.why) for one in lint.unknown]
    return Group(*parts, *_listed("Not known from this log", unknown))


def fault(one: Finding) -> Iterator[RenderableType]:
    """Yield the lines of one fault: what and where, what it means, and the way out."""
    head = Text(f"{one.severity}  ", style=_STYLES[one.severity])
    head.append(_name(one), style="bold")
    head.append("".join(f"  {words}" for words in (_compared(one), _place(one.where), _because(one)) if words))
    yield head
    yield Padding(Text(one.says), (0, 0, 0, 2))
    yield Padding(Text(f"→ {one.way_out}"), (0, 0, 0, 2))


def _together(passed: list[Finding]) -> list[tuple[str, str]]:
    """Return names and words, the names of those that say the same in one line."""
    said: dict[str, list[str]] = {}
    for one in passed:
        said.setdefault(one.says, []).append(_name(one))
    return [(", ".join(names), says) for says, names in said.items()]


def _listed(title: str, lines: list[tuple[str, str]]) -> Iterator[RenderableType]:
    if lines:
        yield Text(title, style="bold")
    for name, words in lines:
        yield Padding(Text(f"{name}: {words}"), (0, 0, 0, 2))


def _name(one: Finding) -> str:
    return f"{one.code}{_of(one.where.policy)}"


def _of(policy: str | None) -> str:
    return "" if policy in {None, "columns"} else f" of {policy}"


def _compared(one: Finding) -> str:
    if one.value is None or one.threshold is None:
        return ""
    return f"{number(one.value)} (limit {number(one.threshold)})"


def _because(one: Finding) -> str:
    return f"follows from {one.because}" if one.because else ""


def _place(where: Where) -> str:
    rows = ", ".join(f"{row:,}" for row in where.rows)
    parts = [
        where.file and f"{where.file}{': ' if rows else ''}",
        rows and f"row{'s' if len(where.rows) > 1 else ''} {rows}",
        where.period and f" {where.period}",
    ]
    return "".join(part for part in parts if part)
