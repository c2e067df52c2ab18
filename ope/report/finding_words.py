"""What every report of a lint says in the same words, on a terminal or on a page."""

from collections.abc import Sequence

from ope.diagnostics.findings import Finding, Severity, Where
from ope.report.table import number

VERDICTS: dict[Severity, str] = {
    "ok": "No fault was found.",
    "warn": "The log can be judged, with care.",
    "refuse": "The log should not be judged as it is.",
}


def told_together(passed: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return names and words, the names of those that say the same in one line."""
    said: dict[str, list[str]] = {}
    for one in passed:
        said.setdefault(one.says, []).append(name_of(one.code, one.where.policy))
    return [(", ".join(names), says) for says, names in said.items()]


def name_of(code: str, policy: str | None) -> str:
    """Return a code, with the policy if it is of one."""
    return code if policy in {None, "columns"} else f"{code} of {policy}"


def compared_with(one: Finding) -> str:
    """Return the value and the limit, empty where nothing was counted."""
    if one.value is None or one.threshold is None:
        return ""
    return f"{number(one.value)} (limit {number(one.threshold)})"


def because_of(one: Finding) -> str:
    """Return what explains a finding, empty where nothing does."""
    return f"follows from {one.because}" if one.because else ""


def place_of(where: Where) -> str:
    """Return file, rows and period of a finding."""
    rows = ", ".join(f"{row:,}" for row in where.rows)
    parts = [
        where.file and f"{where.file}{': ' if rows else ''}",
        rows and f"row{'s' if len(where.rows) > 1 else ''} {rows}",
        where.period and f" {where.period}",
    ]
    return "".join(part for part in parts if part)
