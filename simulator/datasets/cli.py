"""`honeyguide dataset`: writes real logs to Parquet, in the columns that `ope evaluate` reads."""

import os
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from simulator.datasets.open_bandit import Behaviour, Campaign, load
from store.errors import HoneyguideError

app = typer.Typer(no_args_is_help=True, help="Fetch real logs to evaluate.")


@app.callback()
def dataset() -> None:
    """Fetch real logs to evaluate."""


@app.command(name="open-bandit")
def open_bandit(
    *,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    campaign: Annotated[Campaign, typer.Option(help="Which campaign.")] = Campaign.ALL,
    behaviour: Annotated[Behaviour, typer.Option(help="Whose log.")] = Behaviour.RANDOM,
    path: Annotated[
        Path | None,
        typer.Option(help="Folder of the full data set, or a downloaded sdist. Default: fetch the small one."),
    ] = None,
) -> None:
    """Write one log of the Open Bandit Dataset to a Parquet file."""
    try:
        rows, mean = _write(load(campaign, behaviour, path=path), out)
    except HoneyguideError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{out}: {rows:,} rows of {behaviour}/{campaign}, mean reward {mean:.5f}")


def _write(log: pl.LazyFrame, out: Path) -> tuple[int, float]:
    # A reader must never see half a file, nor lose the old one to a failed run.
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        log.sink_parquet(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    totals = pl.scan_parquet(out, glob=False).select(pl.len(), pl.col("reward").mean()).collect()
    return totals["len"].item(), totals["reward"].item()
