"""What a run looks like while it goes: one live line on a terminal, plain lines elsewhere. Knows no server."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from simulator.traffic import Progress

BAR = 6
"""The width of the bar, in characters."""
PLAIN_LINES = 10
"""How many lines a run prints when nobody watches a terminal."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """What needs no learning: the values of choosing evenly and of the best one action for all, per decision."""

    uniform: float
    best_fixed: float


def describe(progress: Progress, baselines: Baselines) -> str:
    """Return where a run stands in one line; a narrow terminal cuts it at the end."""
    return (
        f"{progress.decisions_per_s:.0f}/s  reward {progress.average_reward:.3f} "
        f"(uniform {baselines.uniform:.3f}, best fixed {baselines.best_fixed:.3f})  "
        f"explored {progress.exploration_share:.0%}  last quarter {progress.last_quarter:.3f}"
    )


@contextmanager
def showing(console: Console, baselines: Baselines) -> Iterator[Callable[[Progress], None]]:
    """Yield the function that shows progress."""
    if not console.is_interactive:
        yield lambda progress: _print_now_and_then(console, progress, baselines)
        return
    with Bar(TaskProgressColumn(), BarColumn(BAR), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("", total=None)
        # rich would rather shrink the bar to nothing than the text: what does not fit is cut here.
        room = console.width - len("100%") - BAR - 2
        yield lambda progress: bar.update(
            task,
            total=progress.total,
            completed=progress.decisions,
            description=describe(progress, baselines)[:room],
        )


def _print_now_and_then(console: Console, progress: Progress, baselines: Baselines) -> None:
    every = math.ceil(progress.total / PLAIN_LINES)
    if progress.decisions % every == 0 or progress.decisions == progress.total:
        count = f"{progress.decisions:>{len(str(progress.total))}}/{progress.total}"
        console.print(f"{count}  {describe(progress, baselines)}", soft_wrap=True, highlight=False)
