"""A log is of one loop: others have other actions and earn other rewards, and an average over both is of neither."""

from collections.abc import Sequence
from dataclasses import replace

import narwhals as nw

from ope.engine import in_memory
from ope.formats.files import reading
from ope.formats.source import Source
from ope.frames import LOOP, Rows
from ope.rules import Rule


def loop_of(sources: Sequence[Source], *, cut: Sequence[str]) -> str | None:
    """Return the loop that the log's first row is of.

    None where no column of text names one, and where the log is cut by it anyway.
    """
    if LOOP in cut:
        return None
    for source in sources:
        if source.frame.collect_schema().get(LOOP) != nw.String:
            continue
        with reading(source.name):
            first = in_memory(source.frame.select(LOOP).head(1))[LOOP].to_list()
        if first:
            return None if first[0] is None else str(first[0])
    return None


def held_to_loop(rows: Rows, loop: str | None) -> Rows:
    """Return the rows with one more rule of theirs, where they name loops and there is one to keep to."""
    if loop is None or LOOP not in rows.columns:
        return rows
    rule = Rule(
        LOOP,
        lambda named: named == loop,
        f"a log is of one loop, and the first row's is {loop!r}",
        "Take the rows of one loop, or have each judged alone too: --segment loop.",
    )
    return replace(rows, rules=(rule, *rows.rules))
