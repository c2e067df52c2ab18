"""How many bytes a decision takes: in the log, in the archive, and what stays in the log after pruning.

Run it as `python -m simulator.benchmarks.log_bytes`. Each decision has ten actions of ten features that no other has,
is made by `linear_ts` and rewarded once, with a reward id. Checkpoints are not counted: their number does not grow.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bandit.archive import Job, archive_folder
from bandit.cli.output import Format
from bandit.decide import DecisionRequest
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from simulator.benchmarks.bodies import VARIETY, decision_bodies
from store.log.archive.manifest import Manifest
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.records import SECOND, Clock

_DAY = 86_400 * SECOND
_LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Result:
    """Bytes per decision; `request` is the body as it was sent."""

    decisions: int
    request: float
    live: float
    archived: float
    left: float


def main(
    decisions: Annotated[int, typer.Option(help="How many to log.", min=VARIETY)] = 20_000,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    data: Annotated[Path | None, typer.Option(help="Where to make the folder.")] = None,
) -> None:
    """Log decisions, seal and prune them, and print the sizes."""
    with tempfile.TemporaryDirectory(prefix="honeyguide-bench-", dir=data) as folder:
        result = measure(Path(folder), decisions)
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"results": [result]}).decode())
        return
    table = Table("decisions", "request", "live", "archived", "left in the log", box=box.SIMPLE)
    sizes = (result.request, result.live, result.archived, result.left)
    table.add_row(f"{result.decisions:,}", *(f"{size:,.0f}" for size in sizes))
    Console(width=100).print(table)


def measure(folder: Path, decisions: int) -> Result:
    """Return the bytes per decision of that many."""
    now = [_DAY]
    bodies = list(_bodies(decisions))
    store = SqliteStore(folder)
    empty = _size(folder)
    asyncio.run(_fill(store, bodies, lambda: now[0]))
    store.close()
    live = _size(folder) - empty
    now[0] += 60 * _DAY
    for _ in archive_folder(folder, Job(prune=True), lambda: now[0]):
        pass
    archived = sum(segment.bytes for segment in Manifest(folder).segments)
    sizes = (sum(map(len, bodies)), live, archived, _size(folder) - empty)
    return Result(len(bodies), *(size / len(bodies) for size in sizes))


async def _fill(store: SqliteStore, bodies: list[bytes], clock: Clock) -> None:
    service = Service(store, clock)
    await service.start()
    await service.put_loop(_LOOP, LoopConfig(), None)
    for start in range(0, len(bodies), VARIETY):
        await asyncio.gather(*(_interact(service, body) for body in bodies[start : start + VARIETY]))
    await service.status(_LOOP, store.log_position(_LOOP), 60)
    await service.close()


async def _interact(service: Service, body: bytes) -> None:
    recorded = await service.decide(_LOOP, msgspec.json.decode(body, type=DecisionRequest), body)
    decision_id = recorded.decision.decision_id
    await service.reward(_LOOP, RewardRequest(decision_id, 1.0, reward_id=f"click-{decision_id}"))


def _bodies(count: int) -> Iterator[bytes]:
    for seed in range(-(-count // VARIETY)):
        yield from (body.encode() for body in decision_bodies(seed=seed)[: count - seed * VARIETY])


def _size(folder: Path) -> int:
    """Return how many bytes the log's file needs without the states of checkpoints."""
    with closing(connect(folder / FILE_NAME)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        states: int = connection.execute("SELECT coalesce(sum(length(state)), 0) FROM checkpoints").fetchone()[0]
    return (folder / FILE_NAME).stat().st_size - states


if __name__ == "__main__":
    typer.run(main)
