"""`honeyguide archive`: seal whole days of the log, prune what is sealed, and delete the oldest of it."""

from datetime import datetime
from typing import Annotated

import typer

from bandit.cli.serve import DEFAULT_DATA, DataFolder

_DAY = ["%Y-%m-%d"]


def archive(
    data: DataFolder = DEFAULT_DATA,
    *,
    loop: Annotated[list[str] | None, typer.Option(help="Only this loop; repeatable.")] = None,
    until: Annotated[
        datetime | None, typer.Option(help="The last day to seal, UTC; yesterday unless given.", formats=_DAY)
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then take what is sealed and settled out of the log; no server may run.")
    ] = False,
    keep_days: Annotated[
        int, typer.Option(min=0, max=36_500, help="Days that pruning leaves in the log beyond a loop's windows.")
    ] = 0,
    delete_before: Annotated[
        datetime | None,
        typer.Option(
            help="Then delete, for good, what was pruned of the days before this one, UTC; no server may run.",
            formats=_DAY,
        ),
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Give the room that pruning made back to the file system.")
    ] = False,
) -> None:
    """Seal the log's whole days into Parquet files; a server may be running unless rows are pruned or deleted."""
    # A second of loading that the other commands need not wait for.
    from bandit.archive import Job, archive_folder  # noqa: PLC0415
    from bandit.wiring import system_clock  # noqa: PLC0415

    job = Job(
        loops=tuple(loop or ()),
        until=until and until.date(),
        prune=prune,
        keep_days=keep_days,
        delete_before=delete_before and delete_before.date(),
        vacuum=vacuum,
    )
    for line in archive_folder(data, job, system_clock):
        typer.echo(line)
