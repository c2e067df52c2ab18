"""`honeyguide backup` and `honeyguide restore`: a data folder copied while it is in use, and put back."""

from pathlib import Path
from typing import Annotated

import typer

from bandit.cli.serve import DEFAULT_DATA, DataFolder


def backup(
    out: Annotated[Path, typer.Argument(help="The folder to make; it must not exist.")],
    data: DataFolder = DEFAULT_DATA,
) -> None:
    """Copy a data folder, archive included; a server may be running on it."""
    # Loaded here, so that the other commands need not wait for it.
    from bandit.wiring import system_clock  # noqa: PLC0415
    from store.log.backup import backup as make_backup  # noqa: PLC0415

    made = make_backup(data, out, system_clock)
    size = sum(file.bytes for file in made.files)
    typer.echo(f"{out}: {_files(len(made.files))}, {size:,} bytes.")
    for position in made.positions:
        typer.echo(f"  loop {position.loop!r} through decision {position.decisions}, outcome {position.outcomes}")


def restore(
    source: Annotated[Path, typer.Argument(help="The folder that `backup` made.", metavar="BACKUP")],
    data: DataFolder = DEFAULT_DATA,
) -> None:
    """Check a backup and put it into a new or empty data folder, ready to be served."""
    from store.log.backup import restore as put_back  # noqa: PLC0415  # as above

    made = put_back(source, data)
    typer.echo(f"{data}: {_files(len(made.files))} from {source}. Start a server on it with --data {data}.")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
