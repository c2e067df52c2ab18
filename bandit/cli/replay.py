"""`honeyguide replay`: a line folded again from its log, and compared, or another one forked from it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.cli.export import Moment
from bandit.cli.output import Format
from bandit.cli.serve import DEFAULT_DATA, DataFolder

if TYPE_CHECKING:
    from bandit.learn.fork import Fork, Forked
    from bandit.learn.lines import Listed
    from bandit.learn.replay import Replay
    from store.records import LoopRecord


def replay(  # noqa: PLR0913 - a command's options are its arguments
    loop: Annotated[str, typer.Argument(help="The loop's name.")],
    data: DataFolder = DEFAULT_DATA,
    *,
    line: Annotated[str | None, typer.Option(help="Which of its lines; by default the one that serves.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Exit with 1 when a stored state is not the replayed.")
    ] = False,
    lines: Annotated[bool, typer.Option("--lines", help="List the loop's lines instead.")] = False,
    name: Annotated[
        str | None, typer.Option("--as", help="Fork a line of that name, with --until or --without.")
    ] = None,
    until: Moment = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Learn as if this entity, KEY=ID, had never been there; repeatable.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Fold a loop's outcome log again and compare each stored checkpoint; a server may be running on the folder.

    With --as, open another line that passes over a part of the log; no server may be running then.
    """
    forks = until is not None or bool(without)
    if forks != (name is not None) or (forks and (verify or lines)) or (lines and (verify or line)):
        raise typer.BadParameter(
            "--as NAME takes --until TIME or --without KEY=ID or both, and these take --as; --verify and --lines go "
            "with neither of them, and not with each other",
            param_hint="'--as'",
        )
    if name is not None:
        from bandit.cli.entities import entities_of  # noqa: PLC0415  # a second of loading, as below
        from bandit.learn.fork import Fork  # noqa: PLC0415
        from bandit.service.views import microseconds  # noqa: PLC0415

        moment = None if until is None else microseconds(until)
        wanted = Fork(loop=loop, name=name, until=moment, without=entities_of(without or ()), source=line)
        _show(_forked(data, wanted), output, _print_fork)
    elif lines:
        _show(_listed(data, loop), output, _print_lines)
    else:
        found = _replayed(data, loop, line)
        _show(found, output, _print)
        if verify and not found.matches:
            sys.exit(1)


def _forked(data: Path, wanted: "Fork") -> "Forked":
    from bandit.fork import fork_line  # noqa: PLC0415  # a second of loading that the other commands need not wait for
    from bandit.wiring import system_clock  # noqa: PLC0415

    with _bar(None) as progress:
        return fork_line(data, wanted, system_clock, progress)


def _listed(data: Path, loop: str) -> "list[Listed]":
    from bandit.learn.lines import lines_of  # noqa: PLC0415  # as above
    from store.log.sqlite import SqliteStore  # noqa: PLC0415

    with closing(SqliteStore(data, read_only=True)) as store:
        _config_of(store.loops(), loop)
        return lines_of(store, loop)


def _replayed(data: Path, loop: str, name: str | None) -> "Replay":
    from bandit.learn import replay as learn  # noqa: PLC0415  # as above
    from bandit.learn.lines import Known, find_line, line_for  # noqa: PLC0415
    from bandit.settings import read_config  # noqa: PLC0415
    from store.log.sqlite import SqliteStore  # noqa: PLC0415

    with closing(SqliteStore(data, read_only=True)) as store:
        config = read_config(_config_of(store.loops(), loop))
        known = find_line(store, loop, name) if name else Known(line_for(store, loop, config), config)
        start = store.log_start(loop) - 1
        with _bar(store.log_position(loop) - start) as progress:
            return learn.replay(
                store, loop, known.config, line=known.line, progress=lambda position: progress(position - start)
            )


def _config_of(records: "list[LoopRecord]", loop: str) -> bytes:
    from store.errors import NotFound  # noqa: PLC0415  # as above

    configs = {record.name: record.config for record in records}
    if loop not in configs:
        names = ", ".join(configs) or "none"
        raise NotFound(f"there is no loop {loop!r} in this data folder; its loops are: {names}")
    return configs[loop]


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.progress import Progress  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # One thread, as the server uses: results must not depend on how many there are.
    with threadpool_limits(limits=1), Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("outcomes", total=total)
        yield lambda position: bar.update(task, completed=position)


def _show(found: object, output: Format, print_table: Callable[..., None]) -> None:
    import msgspec  # noqa: PLC0415  # as above

    if output is Format.JSON:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        print_table(found)


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
    if found.tainted is not None:
        console.print(
            f"{found.line} is tainted by an erasure at {_instant(found.tainted.at)}: from {found.line}@"
            f"{found.tainted.position} on there is nothing to compare."
        )
    if found.matches:
        console.print("Every stored state that was compared is the fold of the log.")
        return
    where = f"between {found.after} and {found.position}"
    if found.first_difference is not None:
        where = f"at {found.first_difference}, as the first decision that was made with another state shows"
    console.print(f"The stored states part from the log {where}.")


def _print_fork(found: "Forked") -> None:
    typer.echo(f"{found.line}@{found.position} of loop {found.loop!r} is forked from {found.origin}.")
    if found.after is not None:
        typer.echo(f"It goes as {found.origin} does through outcome {found.after:,}.")
    typer.echo(f"Of {found.position:,} outcomes it learned {found.learned:,} and passed over {found.passed_over:,}.")
    typer.echo(
        f"For {found.prefers_another:,} of the {found.compared:,} newest decisions another action looks best to it "
        f"than to {found.origin}@{found.position}."
    )


def _print_lines(found: "list[Listed]") -> None:
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("line", "why", "from", "serves", "stored", "passes over", "tainted from", box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"  # a name is of no use without its end
    for each in found:
        rule = [f"{span.after + 1}-{span.through}" for span in each.passes_over.spans]
        rule += [f"{key}={name}" for key, name in each.passes_over.without]
        table.add_row(
            each.line,
            each.why,
            each.origin,
            "yes" if each.serves else "",
            "" if each.checkpoint is None else str(each.checkpoint),
            ", ".join(rule),
            "" if each.tainted is None else f"{each.tainted.position}, {_instant(each.tainted.at)}",
        )
    Console(highlight=False).print(table)


def _instant(at: int) -> str:
    from bandit.service.views import instant  # noqa: PLC0415

    return instant(at)
