"""Holds a log's rewards to the range that was declared for them."""

from collections.abc import Sequence
from dataclasses import replace

import narwhals as nw

from ope.breach import first_breach
from ope.engine import only_row
from ope.frames import Rows
from ope.intervals.ask import Range
from ope.rules import Rule, row_holds
from ope.weights import REWARD


def held_to(rows: Rows, within: Range | None) -> Rows:
    """Return the rows with the range as one more rule of theirs; as they are where nobody declared one."""
    if within is None:
        return rows
    low, high = within.low, within.high
    rule = Rule(
        REWARD,
        lambda reward: (reward >= low) & (reward <= high),
        f"--reward-range says that rewards are between {low:g} and {high:g}",
        "Declare all that can be, or mend the row.",
    )
    return replace(rows, rules=(*rows.rules, rule))


def check_rows(logs: Sequence[Rows]) -> None:
    """Raise InvalidLog for the first row that breaks a rule; one pass of sums where there is none."""
    for rows in logs:
        kept = row_holds(rows.columns, rows.rules).cast(nw.Int64()).fill_null(0)
        broken = int(only_row(rows.frame.select(broken=(1 - kept).sum()))["broken"] or 0)
        if broken:
            raise first_breach(rows, broken=broken)
