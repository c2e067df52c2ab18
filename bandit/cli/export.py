"""`honeyguide export`: the log of a loop as one Parquet file."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from bandit.cli.serve import DEFAULT_DATA, DataFolder

Moment = Annotated[datetime | None, typer.Option(help="A time, UTC unless it says otherwise.")]


def export(
    loop: Annotated[str, typer.Argument(help="The loop's name.")],
    out: Annotated[
        Path, typer.Option(help="The Parquet file to write; an existing one is replaced when all is there.")
    ],
    data: DataFolder = DEFAULT_DATA,
    since: Moment = None,
    until: Moment = None,
    unsettled: Annotated[
        bool, typer.Option("--unsettled", help="Also write decisions from the first without an outcome on.")
    ] = False,
    marginals: Annotated[
        bool, typer.Option(help="Compute how likely each action is to stand in its slot; slow for long rankings.")
    ] = True,
) -> None:
    """Write the decisions of a loop with what came of them; a server may be running on the folder."""
    # A second of loading that the other commands need not wait for.
    from bandit.export import export_loop, left_of  # noqa: PLC0415
    from bandit.service.views import microseconds  # noqa: PLC0415
    from store.log.sqlite import SqliteStore  # noqa: PLC0415

    store = SqliteStore(data, read_only=True)
    begin = 0 if since is None else microseconds(since)
    try:
        found = export_loop(
            store,
            loop,
            out,
            since=begin,
            until=2**62 if until is None else microseconds(until),
            unsettled=unsettled,
            marginals=marginals,
        )
        lacks = left_of(store, loop, begin)
    finally:
        store.close()
    typer.echo(f"{out}: {found.written} decisions of loop {loop!r}.")
    if lacks:
        typer.echo(f"It is not whole: {lacks}.", err=True)
    if found.erased:
        typer.echo(f"{found.erased} more were erased, and are not in it.", err=True)
    if found.left:
        typer.echo(
            f"{found.left} newer ones are left out: they follow one whose reward window is still open, and taking only "
            "the rewarded ones among them would favour fast rewards. --unsettled writes them too; ope evaluate "
            "--unresolved says how they count.",
            err=True,
        )
