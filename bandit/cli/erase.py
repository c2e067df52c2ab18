"""`honeyguide erase`: take what was decided for somebody out of a data folder."""

from typing import TYPE_CHECKING, Annotated

import typer

from bandit.cli.output import Format
from bandit.cli.serve import DEFAULT_DATA, DataFolder

if TYPE_CHECKING:
    from bandit.erasure.run import Report


def erase(
    data: DataFolder = DEFAULT_DATA,
    *,
    entity: Annotated[
        list[str] | None, typer.Option(help="Erase the decisions for this entity, KEY=ID; repeatable.")
    ] = None,
    decision: Annotated[list[str] | None, typer.Option(help="Erase this decision, LOOP/ID; repeatable.")] = None,
    loop: Annotated[list[str] | None, typer.Option(help="Look for entities in this loop only; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Erase decisions, with what came of them, from the log, the archive and the models; no server may be running."""
    if not entity and not decision:
        raise typer.BadParameter("name whom to erase with --entity KEY=ID, or what with --decision LOOP/ID")
    # A second of loading that the other commands need not wait for.
    import msgspec  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from bandit.cli.entities import entities_of  # noqa: PLC0415
    from bandit.erasure.find import Wanted  # noqa: PLC0415
    from bandit.erasure.run import erase_folder  # noqa: PLC0415
    from bandit.wiring import system_clock  # noqa: PLC0415

    wanted = Wanted(
        entities=entities_of(entity or ()),
        decisions=tuple(_decision(word) for word in decision or ()),
        loops=tuple(loop or ()),
    )
    # One thread, as the server uses: results must not depend on how many there are.
    with threadpool_limits(limits=1), Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decisions looked through, outcomes learned", total=None)
        found = erase_folder(data, wanted, system_clock, lambda more: bar.advance(task, more), dry_run=dry_run)
    if output is Format.JSON:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


def _decision(word: str) -> tuple[str, str]:
    loop, slash, name = word.partition("/")
    if not (loop and slash and name):
        raise typer.BadParameter(f"{word!r} is not LOOP/ID, such as news/d-1", param_hint="'--decision'")
    return loop, name


def _print(found: "Report") -> None:
    would = "would be " if found.dry_run else ""
    if found.resumed:
        typer.echo(f"{found.resumed} earlier erasures were not finished{'' if found.dry_run else ', and are now'}.")
    for each in found.erased:
        typer.echo(
            f"{each.decisions:,} decisions of loop {each.loop!r} {would}erased, with {each.outcomes:,} entries of the "
            f"outcome log and {each.rewards:,} rewards."
        )
    if not found.erased:
        typer.echo("No decision is found that is not erased already.")
    for line in found.tainted:
        replaced = f"; {line.replaced_by} takes its place" if line.replaced_by else ""
        typer.echo(f"Line {line.line} of loop {line.loop!r} {would}tainted from {line.position} on{replaced}.")
    for said in found.done:
        typer.echo(f"{said[0].upper()}{said[1:]}.")
    for made in found.relearned:
        since = f", from outcome {made.learns_from:,} on" if made.learns_from > 1 else ""
        typer.echo(f"{made.line}@{made.position} of loop {made.loop!r} has learned what is left{since}.")
