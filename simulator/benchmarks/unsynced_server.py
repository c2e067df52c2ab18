"""The real server without durability, to measure what that costs: `python -m simulator.benchmarks.unsynced_server`.

SQLite never syncs (`synchronous=OFF`): a power cut may lose what was acknowledged. The product has no such switch, so
it is built in here from outside.
"""

from pathlib import Path
from typing import Any

from bandit.cli.main import run
from store.log import sqlite


def never_sync() -> None:
    """Have every store that this process opens from now on leave syncing to the operating system."""
    connect = sqlite.connect

    def careless(path: Path) -> Any:  # noqa: ANN401 - SQLite's types stay inside store.log
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    sqlite.connect = careless


if __name__ == "__main__":
    never_sync()
    run()
