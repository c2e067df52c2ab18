"""The command line `honeyguide`: each command parses, calls one function and prints."""

import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from bandit.cli import archive, backup, erase, export, ope, replay, serve
from store.errors import HoneyguideError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Contextual bandits online: exact propensities, a durable reward ledger, off-policy evaluation.",
)
app.command("serve")(serve.serve)
app.command("export")(export.export)
app.command("replay")(replay.replay)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("archive")(archive.archive)
app.command("erase")(erase.erase)
app.add_typer(ope.app, name="ope")


@app.callback()
def _top(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if show_version:
        typer.echo(version("honeyguide"))
        raise typer.Exit


def _add_plugins() -> None:
    """Add the commands of packages that stand above this one, such as the simulator's."""
    for point in sorted(entry_points(group="honeyguide.commands"), key=lambda point: point.name):
        try:
            command = point.load()
        except ImportError as error:
            print(f"honeyguide: the command {point.name!r} is left out: {error}", file=sys.stderr)
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)


def run() -> None:
    """Run the command line; an error of ours is one message and exit code 1."""
    _add_plugins()
    try:
        app()
    except HoneyguideError as error:
        print(f"honeyguide: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
