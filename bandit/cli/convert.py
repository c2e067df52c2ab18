"""`honeyguide ope convert`: a log in another format; parses options and says what was lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bandit.cli.exits import exit_codes
from bandit.cli.output import Format
from ope.bad_rows import REFUSE
from ope.convert import Conversion, Progress
from ope.convert import convert as convert_files
from ope.formats.guess import FORMATS

NAMES = ", ".join(FORMATS)


def convert(
    files: Annotated[list[Path], typer.Argument(help="The logs to read, as one.", metavar="IN")],
    *,
    out: Annotated[Path, typer.Option(help="The file to write; an existing one is replaced when all is there.")],
    source: Annotated[
        str | None, typer.Option("--from", help=f"Format of the logs: {NAMES}. Default: name or first lines tell.")
    ] = None,
    target: Annotated[str | None, typer.Option("--to", help="Format to write. Default: the name tells.")] = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="refuse: stop at a row that cannot be converted; report: leave it out and list it.")
    ] = REFUSE,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = Format.TABLE,
) -> None:
    """Write logs in another format, and say what it cannot carry."""
    with exit_codes(), _progress() as progress:
        done = convert_files(files, out, source=source, target=target, on_bad_rows=on_bad_rows, progress=progress)
    if output is Format.JSON:
        typer.echo(json.dumps(_as_json(done, out), indent=2, allow_nan=False))
    else:
        typer.echo(f"{out}: {done.rows:,} rows, {' and '.join(dict.fromkeys(done.sources))} to {done.target}.")
    for line in _losses(done):
        typer.echo(line, err=True)


def _losses(done: Conversion) -> Iterator[str]:
    if done.lost:
        counted = ", ".join(f"{name} ({rows:,} rows)" for name, rows in done.lost.items())
        yield f"{done.target} does not carry: {counted}"
    for name, how in done.partly.items():
        yield f"{done.target} carries {name} in part: {how}"
    yield from done.asides.notes()
    if done.asides.broken:
        yield f"left out {done.asides.broken:,} bad rows:"
    for row in done.asides.shown:
        yield f"  {row}"


def _as_json(done: Conversion, out: Path) -> dict[str, Any]:
    return {
        "out": str(out),
        "from": list(done.sources),
        "to": done.target,
        "rows": done.rows,
        "lost": done.lost,
        "partly": done.partly,
        "left_out": dict(done.asides.no_decision),
        "bad_rows": {"count": done.asides.broken, "rows": [asdict(row) for row in done.asides.shown]},
    }


@contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Reading the log…") as status:
        yield lambda rows: status.update(f"Converted {rows:,} rows…")
