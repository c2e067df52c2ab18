"""Tables that are never cut: where they are too wide for the terminal, a narrower form is printed; computes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_ANY = 10_000


@dataclass(frozen=True, slots=True)
class Fitting:
    """Forms of the same tables, the widest first. The first that fits is printed, else the last at its own width.

    Print it with `crop=False`, so that what is wider than the terminal is wrapped by it and not lost.
    """

    forms: Sequence[Sequence[Table]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables of the form that fits."""
        fits = (form for form in self.forms if _least(console, options, form) <= options.max_width)
        form = next(fits, self.forms[-1])
        room = max(options.max_width, _least(console, options, form))
        for table in form:
            yield from console.render(table, options.update_width(room))


def _least(console: Console, options: ConsoleOptions, form: Sequence[Table]) -> int:
    return max((_width(console, options, table) for table in form), default=0)


def _width(console: Console, options: ConsoleOptions, table: Table) -> int:
    """Return the least width at which nothing is cut, and hold the table to it: rich would rather cut numbers."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(column.min_width or 0, *(cell_len(str(cell)) for cell in _cells(column)))
    return Measurement.get(console, options.update_width(_ANY), table).minimum


def _cells(column: Column) -> list[object]:
    return [column.header, *column.cells]
