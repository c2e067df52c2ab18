"""The places, beside the rows of the log, where data of erased decisions are: each is cleared, in order.

Clearing is done again after a crash, until nothing is left to do; whoever keeps such data elsewhere adds a place here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from store.lineage import Erasure
from store.log.archive.rewrite import erase_sealed
from store.log.compact import compact

Place: TypeAlias = Callable[[Path, Sequence[Erasure], int], str]
"""Clears a data folder of what the erasures took out of its log, at a time in microseconds; returns what it did, in
words."""


def archive(data: Path, erasures: Sequence[Erasure], now: int) -> str:
    """Rewrite the segments that hold such rows."""
    files = list(erase_sealed(data, erasures, now))
    return f"{len(files)} files of the archive rewritten"


def log_file(data: Path, erasures: Sequence[Erasure], now: int) -> str:  # noqa: ARG001
    """Write the log's file anew: what is not in its rows any more is still in its bytes."""
    compact(data)
    return "the log's file written anew"


PLACES: tuple[Place, ...] = (archive, log_file)
