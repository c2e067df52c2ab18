"""What the linter says of the lines of a file that are no rows: broken ones, and those that are no decision."""

from collections.abc import Iterator

from ope.diagnostics.findings import Finding, Severity, Where
from ope.formats.asides import Asides
from ope.formats.dsjson import DANGLING
from ope.formats.vw_text import UNLABELLED

SHOWN = 5
_BROKEN = (
    "Mend what writes the log: each row whole and by the rules of its format, text with separators or line breaks "
    "quoted. If the file is read as another format than it is, say its own with --from."
)
_LOST = {
    DANGLING: "Rewards came for decisions that the log does not have: log each decision when it is made, and do not "
    "cut the log between a decision and its reward.",
    UNLABELLED: "Log each decision with what it cost, 0 too. Where only some have a cost, an estimate is of these, and "
    "off by whatever made the others lose theirs.",
}
"""What is not only left out but missing."""


def beside_rows(file: str, found: Asides) -> Iterator[Finding]:
    """Yield a finding for the broken rows of a file, if any, and one for each kind of line that is no decision."""
    if found.broken:
        first = found.shown[0]
        count = (
            "1 row cannot be read" if found.broken == 1 else f"{found.broken:,} rows cannot be read, the first since"
        )
        says = f"{count}: {first.value}; {first.rule}."
        rows = tuple(sorted({row.row for row in found.shown if row.row is not None})[:SHOWN])
        yield Finding("row_broken", "refuse", float(found.broken), 0.0, says, _BROKEN, Where(file=file, rows=rows))
    for why, number in found.no_decision:
        way_out = _LOST.get(why, "")
        says = f"{number:,} {'line is' if number == 1 else 'lines are'} left out: {why}."
        severity: Severity = "warn" if way_out else "ok"
        yield Finding("no_decision", severity, float(number), 0.0, says, way_out, Where(file=file))
