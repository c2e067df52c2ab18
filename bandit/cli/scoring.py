"""What `ope` commands share: policies that need scoring, opened for one evaluation, and a sign that it goes on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bandit.cli.serve import DEFAULT_DATA

if TYPE_CHECKING:
    from ope.scorer import Scorer


@contextmanager
def scoring(
    specs: Sequence[str], data: Path | None, most: float | None, *, learning: bool = False, against: str | None = None
) -> "Iterator[tuple[Sequence[str], Scorer | None]]":
    """Yield the policies to ask about and what scores those that are ours; None where the log alone is enough."""
    with _status() as tell:
        others = [] if against is None or not specs else [against]
        if not (learning or any("@" in spec or spec.endswith(".json") for spec in (*specs, *others))):
            yield specs, None
            return
        from threadpoolctl import threadpool_limits  # noqa: PLC0415  # a second of loading that others need not wait for

        from bandit.scoring.open import open_scorer, with_learning  # noqa: PLC0415  # as above

        policies = with_learning(specs, learning=learning)
        told = open_scorer(
            list(dict.fromkeys([*policies, *others])),
            data=DEFAULT_DATA if data is None else data,
            given=data is not None,
            most=most,
            progress=lambda rows: tell(f"Scored {rows:,} rows…"),
        )
        # One thread, as the server uses: results must not depend on how many there are.
        with threadpool_limits(limits=1), told as scorer:
            yield policies, scorer


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Reading the log…") as status:
        yield status.update
