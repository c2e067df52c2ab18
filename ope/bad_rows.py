"""Counts and lists the rows that break a rule, where they are to be reported and not to stop the evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import narwhals as nw

from ope.breach import breaches
from ope.engine import only_row
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.asides import SHOWN, Asides, BadRow
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import reading
from ope.formats.source import Source
from ope.frames import Rows
from ope.rules import row_holds

REFUSE, REPORT = "refuse", "report"


def reported(on_bad_rows: str) -> bool:
    """Say whether bad rows are reported; raises InvalidRequest for what is neither of the two ways."""
    if on_bad_rows in {REFUSE, REPORT}:
        return on_bad_rows == REPORT
    raise InvalidRequest(f"--on-bad-rows {on_bad_rows}: there is no such way; it is {REFUSE} or {REPORT}.")


def beside_decisions(sources: Sequence[Source], *, report: bool) -> tuple[list[Source], Asides]:
    """Return the sources, and what they hold beside decisions.

    Raises InvalidLog for a broken row that is not to be reported.
    """
    read = [_read_through(source) for source in sources]
    found = reduce(add, (asides for _, asides in read))
    if found.broken and not report:
        more = f" ({found.broken:,} rows cannot be read.)" if found.broken > 1 else ""
        raise InvalidLog(f"{found.shown[0]}. Mend it, or have bad rows listed: --on-bad-rows {REPORT}.{more}")
    return [source for source, _ in read], found


def _read_through(source: Source) -> tuple[Source, Asides]:
    if source.asides is None:
        return source, Asides()
    found = source.asides()
    if found.weighted or ROW_WEIGHT not in source.columns:
        return source, found
    # Rows that all stand for themselves need no weights, and counting them would take a pass for each policy.
    return replace(source, frame=source.frame.drop(ROW_WEIGHT)), found


def without_bad_rows(logs: Sequence[Rows]) -> tuple[list[Rows], Asides]:
    """Return the rows that keep every rule, and the others counted and listed. It takes a pass of its own."""
    found = [_bad_in(rows) for rows in logs]
    kept = [replace(rows, frame=rows.frame.filter(_kept(rows))) for rows in logs]
    return kept, reduce(add, found)


def _bad_in(rows: Rows) -> Asides:
    with reading(rows.source.name):
        kept = rows.frame.select(kept=_kept(rows).cast(nw.Int64()))
        counted = only_row(kept.select(nw.len().alias("n"), nw.col("kept").sum()))
        broken = int(counted["n"] - (counted["kept"] or 0))  # DuckDB sums integers to a Decimal
        listed = breaches(rows, most=SHOWN) if broken else []
    shown = [BadRow(rows.source.name, one.row, f"{one.origin} is {one.value!r}", one.rule.says) for one in listed]
    return Asides(broken, tuple(shown))


def _kept(rows: Rows) -> nw.Expr:
    return row_holds(rows.columns, rows.rules).fill_null(value=False)
