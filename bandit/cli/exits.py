"""How commands end: 0, 1 where what is read breaks a rule, 2 where it cannot be asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ope.errors import InvalidRequest
from store.errors import HoneyguideError


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an error of ours into one line on stderr and an exit code."""
    try:
        yield
    except HoneyguideError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, InvalidRequest) else 1) from error
