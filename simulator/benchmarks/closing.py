"""How fast decisions whose window has passed are closed, and that it costs what is due, not what is open.

Run it as `python -m simulator.benchmarks.closing`. Decisions are closed as the service closes them, `EXPIRE_AT_ONCE` to
a transaction, each transaction synced; nothing else happens. Two stores: in one everything open is due, in the other
`--decisions` are open beside it. Rounds that close the same number in each alternate; their ratio would be far above 1
if closing looked at what is open. In the end everything in the larger store falls due at once, as after a downtime.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bandit.cli.output import Format
from bandit.service.service import EXPIRE_AT_ONCE
from simulator.benchmarks.filling import Filler
from simulator.benchmarks.setting import Setting, bench_folder
from store.ledger.join import expire
from store.ledger.rules import RewardRules
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import SECOND, Outcome

LOOP = "closing"
RULES = RewardRules(window_s=600, aggregation="sum")
"""A sum waits for the end of the window, so that rewarded decisions fall due too."""
LATER = 10**9 * SECOND
ROUND_S = 3600 * SECOND
COLUMNS = ("", "due", "open", "µs each", "ratio", "all due", "seconds", "outcomes/s")


@dataclass(frozen=True, slots=True)
class Kind:
    """What has come to the decisions by the time that they fall due."""

    name: str
    provisional: bool = False
    rewarded: bool = False


KINDS = (
    Kind("silent"),
    Kind("provisional", provisional=True),
    Kind("rewarded", rewarded=True),
    Kind("provisional, rewarded", provisional=True, rewarded=True),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and what appends to it."""

    store: Store
    filler: Filler


@dataclass(frozen=True, slots=True)
class Round:
    """Microseconds to close a decision where nothing else is open, and where `open` others are."""

    alone_us: float
    among_us: float


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds that closed `due` decisions each, the median of their ratios, and how long it took to close all."""

    kind: str
    due: int
    open: int
    ratio: float
    rounds: Sequence[Round]
    closed: int
    seconds: float

    @property
    def outcomes_per_s(self) -> float:
        """Decisions closed a second, of all."""
        return self.closed / self.seconds


def main(
    decisions: Annotated[int, typer.Option(min=1, help="How many are open, and close in the end.")] = 1_000_000,
    due: Annotated[int, typer.Option(min=1, help="How many a round closes.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds for each kind.")] = 5,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds; repeatable.")] = None,
    data: Annotated[Path, typer.Option(help="A folder on the disk to measure; nothing stays in it.")] = Path(),
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure the closing of decisions that nobody, or somebody, rewarded."""
    chosen = _chosen(kind)
    with bench_folder(data) as (folder, setting):
        results = [_result(folder, one, decisions=decisions, due=due, rounds=rounds) for one in chosen]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"setting": setting, "results": results}).decode())
    else:
        _print(setting, results)


def _chosen(names: Sequence[str] | None) -> list[Kind]:
    known = {kind.name: kind for kind in KINDS}
    try:
        return [known[name] for name in names or known]
    except KeyError as error:
        raise typer.BadParameter(f"{error} is no kind; they are {', '.join(known)}") from error


def _result(folder: Path, kind: Kind, *, decisions: int, due: int, rounds: int) -> Result:
    with _opened(folder, kind) as alone, _opened(folder, kind) as among:
        end = among.filler.fill(decisions, at=LATER)
        measured = [_round(alone, among, due, number) for number in range(rounds)]
        seconds = close_all(among.store, end, expected=decisions)
    ratio = statistics.median(one.among_us / one.alone_us for one in measured)
    return Result(kind.name, due, decisions, ratio, measured, decisions, seconds)


@contextmanager
def _opened(parent: Path, kind: Kind) -> Iterator[Opened]:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        store = SqliteStore(Path(folder))
        try:
            yield Opened(store, Filler(store, LOOP, RULES, provisional=kind.provisional, rewarded=kind.rewarded))
        finally:
            store.close()


def _round(alone: Opened, among: Opened, due: int, number: int) -> Round:
    """Fill and close in both, every second time in the other order: a machine that slows down favours neither."""
    took_us = {}
    for one in (among, alone) if number % 2 else (alone, among):
        end = one.filler.fill(due, at=number * ROUND_S)
        took_us[one] = close_all(one.store, end, expected=due) / due * 1e6
    return Round(took_us[alone], took_us[among])


def close_all(store: Store, now: int, *, expected: int) -> float:
    """Close everything that is due, as the service does; returns the seconds.

    Raises `ValueError` when it was not the expected number.
    """
    closed, began = 0, time.perf_counter()
    operation = functools.partial(expire, now=now, rules_of=lambda _: RULES, limit=EXPIRE_AT_ONCE)
    while store.anything_due(now):
        [outcomes] = cast("list[list[Outcome]]", write(store, [operation]))
        closed += len(outcomes)
    took = time.perf_counter() - began
    if closed != expected:
        raise ValueError(f"{closed} decisions were closed, and {expected} were due")
    return took


def _print(setting: Setting, results: Sequence[Result]) -> None:
    console = Console(width=100)
    table = Table(*COLUMNS, box=box.SIMPLE, caption="µs and ratio: medians over the rounds")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in results:
        alone, among = ([getattr(r, name) for r in one.rounds] for name in ("alone_us", "among_us"))
        totals = (f"{one.closed:,}", f"{one.seconds:.1f}", f"{one.outcomes_per_s:,.0f}")
        table.add_row(one.kind, f"{one.due:,}", f"{one.due:,}", f"{statistics.median(alone):.1f}", "1.00", "", "", "")
        open_ = f"{one.due + one.open:,}"
        table.add_row("", f"{one.due:,}", open_, f"{statistics.median(among):.1f}", f"{one.ratio:.2f}", *totals)
    console.print(setting)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
