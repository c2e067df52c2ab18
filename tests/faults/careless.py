"""A server with something built in: `python tests/faults/careless.py WHAT serve …`. The real one has no such switch.

unsynced   SQLite never syncs: `synchronous=OFF`
lazy       SQLite syncs only when it folds its log into the file: `synchronous=NORMAL`
hasty      answers go out before the sync
read-only  while the data folder holds a file `read-only`, SQLite refuses to write
"""

import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

from bandit.cli.main import run
from store.log import group_commit, sqlite
from store.ports import Operation


def _with_pragma(pragma: str) -> Callable[[], None]:
    def install() -> None:
        connect = sqlite.connect

        def careless(path: Path) -> sqlite3.Connection:
            connection = connect(path)
            connection.execute(pragma)
            return connection

        sqlite.connect = careless

    return install


class _Hasty(SimpleQueue):
    """Answers what is on its way to the thread that syncs."""

    def put(self, answers) -> None:
        group_commit._answer(answers or [])
        super().put(answers and [])


def _answer_before_the_sync() -> None:
    group_commit.queue = SimpleNamespace(SimpleQueue=_Hasty)


def _refuse_while_asked() -> None:
    begin = sqlite.SqliteStore.begin

    def refusing(self: sqlite.SqliteStore, operations: Sequence[Operation[object]]) -> list[object]:
        folder = Path(self._writer.execute("PRAGMA database_list").fetchone()[2]).parent
        self._writer.execute(f"PRAGMA query_only = {int((folder / 'read-only').exists())}")
        return begin(self, operations)

    sqlite.SqliteStore.begin = refusing


_BUILT_IN = {
    "unsynced": _with_pragma("PRAGMA synchronous = OFF"),
    "lazy": _with_pragma("PRAGMA synchronous = NORMAL"),
    "hasty": _answer_before_the_sync,
    "read-only": _refuse_while_asked,
}

if __name__ == "__main__":
    _BUILT_IN[sys.argv.pop(1)]()
    run()
