"""Where a run of the simulator keeps its data: always a folder of its own, never one that holds data already."""

import shlex
from datetime import datetime
from itertools import count
from pathlib import Path

from store.errors import InvalidInput

PARENT = Path("honeyguide-data")


def fresh_folder(asked: Path | None, *, kind: str, now: datetime) -> Path:
    """Make and return a run's data folder: the one asked for, or `./honeyguide-data/kind-date-time`.

    Raises InvalidInput where data is already there, since a run's rows must not join another log, or where no folder
    can be made.
    """
    try:
        return _empty_folder(asked) if asked else _dated_folder(f"{kind}-{now:%Y%m%d-%H%M%S}")
    except OSError as error:
        raise InvalidInput(f"no data folder can be made ({error}): name another place with --data") from error


def _empty_folder(asked: Path) -> Path:
    asked.mkdir(parents=True, exist_ok=True)
    if any(asked.iterdir()):
        raise InvalidInput(
            f"{asked} is not empty, and this run writes to a folder of its own: name a new one, or leave --data out. "
            f"To serve what is there: honeyguide serve --data {shlex.quote(str(asked))}"
        )
    return asked


def _dated_folder(name: str) -> Path:
    # Two runs may begin in the same second: making the folder is what claims its name.
    names = (name if attempt == 1 else f"{name}-{attempt}" for attempt in count(1))
    return next(folder for folder in map(PARENT.joinpath, names) if _made(folder))


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True
