"""What a check is, and the words that several share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Where
from ope.diagnostics.question import Question


def nothing(_: Question) -> Named:
    """Ask for no sum of one's own."""
    return {}


@dataclass(frozen=True, slots=True)
class Check:
    """`codes` are the findings that `judge` may give; `ask` names the sums over all rows that it reads."""

    codes: tuple[str, ...]
    judge: Callable[[Facts], Iterator[Answer]]
    ask: Callable[[Question], Named] = nothing


def count(mask: pl.Expr) -> pl.Expr:
    """Return in how many rows the mask holds; null is no."""
    return mask.fill_null(value=False).sum()


def first_rows(facts: Facts, mask: pl.Expr, role: str | None = None, *, column: str | None = None) -> tuple[Where, str]:
    """Return where the first rows are in which the mask holds, and what the first of them says as text."""
    found = facts.examples(mask, role)
    if found.is_empty():
        return Where(column=column), ""
    file, value = found["file"][0], found["value"][0]
    rows = found.filter(pl.col("file") == file)["row"].to_list()
    return Where(file=facts.question.log.files[file], rows=tuple(rows), column=column), repr(value)


def rows_of(count: int, n: int) -> str:
    """Return "3 of 100 rows (3%)"."""
    return f"{count:,} of {n:,} rows ({count / n:.2g})" if n == 0 else f"{count:,} of {n:,} rows ({share(count / n)})"


def share(part: float) -> str:
    """Return a share in percent, to two significant digits."""
    return f"{100 * part:.2g}%" if part < 0.995 else f"{100 * part:.4g}%"
