"""Writes a report as one HTML file, where a command is asked for it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from bandit.cli.asked import asked
from ope.report.html.plots import Page


def write_html(out: Path | None, context: typer.Context, page: Callable[[Sequence[tuple[str, str]]], Page]) -> None:
    """Write the page that is made of what was asked; nothing where no file is named.

    Raises InvalidRequest where the file cannot be written.
    """
    if out is None:
        return
    # What draws takes long to import, and most commands draw nothing.
    from ope.report.html.page import write_page  # noqa: PLC0415

    write_page(page([("command", asked(context))]), out)
