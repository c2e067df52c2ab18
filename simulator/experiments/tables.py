"""A board as tables for a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from simulator.experiments.results import Failure
from simulator.experiments.scores import Board, Mean, Row, Verdict


def print_board(console: Console, board: Board, verdicts: Sequence[Verdict], failures: Iterable[Failure]) -> None:
    """Print who earned what, what that means for our default, and who could not be measured."""
    console.print(_table(board))
    for verdict in verdicts:
        console.print(f"{'met    ' if verdict.met else 'NOT MET'}  {verdict.criterion}: {verdict.numbers}")
    for contestant, reason in sorted({(failure.contestant, failure.reason) for failure in failures}):
        console.print(f"not measured: {contestant.name}: {reason}")


def _table(board: Board) -> Table:
    worlds = list(board.uniform)
    caption = "average reward ± standard error over seeds; score: share of the best peer's; µs: to decide and learn"
    columns = ("score", "gain", "worst", "propensity", "ips z", "ess", "µs")
    table = Table("", *worlds, *columns, box=box.SIMPLE, caption=caption)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in board.rows:
        table.add_row(*_cells(row, worlds))
    table.add_section()
    for name, values in (("choosing evenly", board.uniform), ("knowing the world", board.best)):
        table.add_row(name, *(f"{values[world]:.3f}" for world in worlds))
    return table


def _cells(row: Row, worlds: Iterable[str]) -> list[str]:
    return [
        row.contestant.name,
        *(_text(row.rewards[world]) for world in worlds),
        _text(row.score),
        f"{row.gain:.3f}",
        f"{row.worst:.3f}",
        row.propensity,
        "" if row.ips_z is None else f"{row.ips_z:+.1f}",
        "" if row.ess is None else f"{row.ess:.1%}",
        f"{row.seconds * 1e6:.0f}",
    ]


def _text(mean: Mean) -> str:
    return " ±".join(f"{value:.3f}".removeprefix("0") for value in (mean.value, mean.stderr))
