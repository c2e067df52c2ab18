"""What the tests of faults share: two loops, and SQLite's own verdict on a file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from store.log.sqlite import FILE_NAME

CARELESS = str(Path(__file__).parent / "faults" / "careless.py")
"""A script that serves with something built in; it says what."""
LOOPS = {
    "patient": {"policy": {"kind": "linear_ts"}},
    "hasty": {"policy": {"kind": "logistic_ts"}, "reward": {"window_s": 0.2, "default": 0.1}},
}
"""One that waits for its rewards, and one where many decisions expire and rewards that come later correct them."""


def check_integrity(folder: Path) -> None:
    """SQLite finds nothing wrong with the whole file: pages, rows and indexes."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
