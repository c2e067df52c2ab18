"""Fixtures of the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import loop

from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every adapter of the port, with the loops `a` and `b`."""
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)
    write(store, [lambda tx, name=name: tx.put_loop(loop(name)) for name in ("a", "b")])
    yield store
    store.close()
