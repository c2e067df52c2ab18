"""`honeyguide serve`: keep a server up on the embedded store."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[Path, typer.Option("--data", envvar="HONEYGUIDE_DATA", help="The data folder.")]
DEFAULT_DATA = Path("honeyguide-data")


def serve(
    data: DataFolder = DEFAULT_DATA,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
) -> None:
    """Serve decisions and learn from rewards until stopped (Ctrl-C)."""
    from bandit import wiring  # noqa: PLC0415  # a second of loading that the other commands need not wait for

    with wiring.open_app(data) as app, wiring.listen(host, port) as listener:
        typer.echo(f"Honeyguide serves http://{host}:{port} from {data.absolute()}. Ctrl-C stops it.")
        wiring.serve(app, listener)
