"""`honeyguide replay`: a line folded again from its log, and held against what was stored while it served."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.cli.output import Format
from bandit.cli.serve import DEFAULT_DATA, DataFolder

if TYPE_CHECKING:
    from bandit.learn.replay import Replay


def replay(
    loop: Annotated[str, typer.Argument(help="The loop's name.")],
    data: DataFolder = DEFAULT_DATA,
    line: Annotated[str | None, typer.Option(help="Which of its lines; by default the one that serves.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Exit with 1 when a stored state is not the replayed.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Fold a loop's outcome log again and compare each stored checkpoint; a server may be running on the folder."""
    # A second of loading that the other commands need not wait for.
    import msgspec  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from bandit.learn import replay as learn  # noqa: PLC0415
    from bandit.settings import read_config  # noqa: PLC0415
    from store.errors import NotFound  # noqa: PLC0415
    from store.log.sqlite import SqliteStore  # noqa: PLC0415

    store = SqliteStore(data, read_only=True)
    try:
        records = {record.name: record for record in store.loops()}
        if loop not in records:
            names = ", ".join(records) or "none"
            raise NotFound(f"there is no loop {loop!r} in this data folder; its loops are: {names}")
        config = learn.config_of_line(store, loop, line) if line else read_config(records[loop].config)
        # One thread, as the server uses: results must not depend on how many there are.
        with threadpool_limits(limits=1), Progress(console=Console(stderr=True), transient=True) as bar:
            start = store.log_start(loop) - 1
            task = bar.add_task("outcomes", total=store.log_position(loop) - start)
            found = learn.replay(
                store, loop, config, progress=lambda position: bar.update(task, completed=position - start)
            )
    finally:
        store.close()
    if output is Format.JSON:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)
    if verify and not found.matches:
        sys.exit(1)


def _print(found: "Replay") -> None:
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("checkpoint", "replayed state", "same numerics", "difference", box=box.SIMPLE)
    for each in found.checkpoints:
        difference = "" if each.difference is None else f"{each.difference:.1e}"
        table.add_row(f"{found.line}@{each.position}", each.verdict, "yes" if each.same_numerics else "no", difference)
    console = Console(highlight=False)
    console.print(table if found.checkpoints else "No checkpoint is compared.")
    if found.reason is not None:
        console.print(f"It began behind outcome {found.start}: {found.reason}.")
    if found.unchecked:
        console.print(f"Stored states that could not be compared: {', '.join(map(str, found.unchecked))}.")
    console.print(f"{found.outcomes:,} outcomes of loop {found.loop!r} replayed, {found.outcomes_per_s:,.0f} a second.")
    if found.matches:
        console.print("Every stored state that was compared is the fold of the log.")
        return
    where = f"between {found.after} and {found.position}"
    if found.first_difference is not None:
        where = f"at {found.first_difference}, as the first decision that was made with another state shows"
    console.print(f"The stored states part from the log {where}.")
