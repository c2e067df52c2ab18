"""Makes the docs' picture of what an HTML report looks like: a small log with a seed, its report, a screenshot."""

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer

from ope.evaluate import evaluate_files
from ope.formats.columns import PAIRS
from ope.question import Question
from ope.report.html.of_evaluation import evaluation_page
from ope.report.html.page import write_page

ARTICLES = np.array(["culture", "football", "politics"])
ROWS = 6_000
CLICKS = np.array([[0.12, 0.34, 0.22], [0.24, 0.18, 0.26]])
"""What each article earns on a phone and on a desktop."""
_SIZE = "1180,1010"


def log(*, seed: int = 7) -> pl.DataFrame:
    """Return a log of a policy that mostly shows politics, on phones and desktops over four days."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([3.0, 4.0, 8.0], ROWS) * 0.88 + 0.04
    drawn = (p.cumsum(axis=1) > rng.random((ROWS, 1))).argmax(axis=1)
    desktop = rng.random(ROWS) < 0.3
    click = rng.random(ROWS) < CLICKS[desktop.astype(int), drawn]
    spread = [[{"action": a, "propensity": x} for a, x in zip(ARTICLES, row, strict=True)] for row in p.tolist()]
    return pl.DataFrame(
        {
            "at": pl.Series(np.arange(ROWS) * 57_600_000 + 1_767_225_600_000_000).cast(pl.Datetime("us", "UTC")),
            "action": ARTICLES[drawn],
            "propensity": p[np.arange(ROWS), drawn],
            "distribution": pl.Series(spread, dtype=PAIRS),
            "reward": click.astype(float),
            "device": np.where(desktop, "desktop", "phone"),
        }
    )


def write(out: Path) -> None:
    """Write the report."""
    asked = Question(
        policies=["uniform", "fixed:football"], against="logged", segments=["device"], window="12h", weights=True
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "news.parquet"
        log().write_parquet(path)
        command = "honeyguide ope evaluate news.parquet --policy uniform --policy fixed:football --against logged"
        said = [("command", f"{command} --segment device --window 12h --html {out.name}")]
        write_page(evaluation_page(evaluate_files([path], asked), files=[path.name], asked=said), out)


def picture(
    out: Annotated[Path, typer.Argument(help="The PNG to write.")] = Path("docs/how-to/share-a-report.png"),
    browser: Annotated[str, typer.Option(help="A Chromium or Chrome.")] = "chromium",
) -> None:
    """Write the report of a small log, and take a picture of its top."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write(page)
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={_SIZE}"]
        command = [browser, *options, f"--screenshot={out.resolve()}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - the browser that was named
    typer.echo(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    typer.run(picture)
