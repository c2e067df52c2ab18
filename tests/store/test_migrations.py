"""A data folder of the first version is opened by this one: what it logged says the same, in the words of today."""

import sqlite3
from pathlib import Path

import msgspec
import pytest
from sqlite_utils import Database
from support import decision, loop

from store.errors import StoreUnusable
from store.log import rows, schema
from store.log.backup import backup, restore
from store.log.sqlite import FILE_NAME, SqliteStore
from store.records import Cell

_OUTCOMES = [
    # decision, kind, value, at, slot, previous
    (1, "rewarded", 1.5, 5, 1, None),
    (2, "expired", 0.0, 12, None, None),
    (2, "corrected", 0.75, 20, 0, 0.0),
    (3, "rewarded", 2.0, 25, None, None),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with the tables of the first version only: three decisions, four outcomes, one of them a correction."""
    data = tmp_path / "old"
    data.mkdir()
    connection = sqlite3.connect(data / FILE_NAME, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    first, *_ = schema.migrations.pending(Database(connection))
    assert first.name == "first_light"
    schema.migrations.apply(Database(connection), stop_before="ledger")
    record = loop("a")
    connection.execute(
        "INSERT INTO loops VALUES (1, ?, ?, ?, ?, ?)",
        (record.name, record.config.decode(), record.secret, record.revision, record.updated_at),
    )
    for position in (1, 2, 3):
        made = decision(f"d{position}", at=position, slots=2).placed(position)
        connection.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", rows.decision_row(1, made))
    connection.execute(
        "INSERT INTO rewards VALUES (1, 1, 'd1', 'r', 1.5, 1, NULL, 4, 5, 'joined'),"
        " (2, 1, 'd2', NULL, 0.75, 0, NULL, 19, 20, 'joined')"
    )
    for position, (of, kind, value, at, slot, previous) in enumerate(_OUTCOMES, start=1):
        connection.execute(
            "INSERT INTO outcomes VALUES (1, ?, ?, ?, ?, ?, ?, ?)", (position, of, kind, value, at, slot, previous)
        )
    for position in (2, 4):
        connection.execute("INSERT INTO checkpoints VALUES (1, 'l', ?, x'00', 'd', 'f', 1)", (position,))
    connection.execute("INSERT INTO counts VALUES (1, 'decisions', 3), (1, 'rewarded', 2)")
    connection.close()
    return data


def test_a_folder_of_the_first_version_is_migrated(old: Path) -> None:
    """Outcomes say what they are made of and what they revise, checkpoints how much they settled."""
    store = SqliteStore(old)
    examples = store.examples("a", after=0, limit=9)
    assert [(e.outcome.kind, e.outcome.value, e.outcome.earned) for e in examples] == [
        ("rewarded", 1.5, (Cell(1, None, 1.5),)),
        ("expired", 0.0, ()),
        ("corrected", 0.75, (Cell(0, None, 0.75),)),
        ("rewarded", 2.0, ()),
    ]
    assert [(e.outcome.revises, e.outcome.root) for e in examples] == [(None, None), (None, None), (2, 2), (None, None)]
    assert [e.before and e.before.position for e in examples] == [None, None, 2, None]
    assert [e.outcome.slot for e in examples] == [1, None, 0, None]
    assert [e.decision for e in examples] == [decision(f"d{i}", at=i, slots=2).placed(i) for i in (1, 2, 2, 3)]
    assert [(c.position, c.settled) for c in store.checkpoints("a", "l")] == [(4, 3), (2, 2)]
    assert [r.value for r in store.rewards("a", "d2")] == [0.75]
    assert (store.counts("a").decisions, store.log_position("a")) == (3, 4)
    assert store.activated("a", "d1") is None
    store.close()


def test_reading_alone_does_not_migrate(old: Path) -> None:
    """A reader of an older folder says what to do and leaves the file as it is."""
    before = (old / FILE_NAME).read_bytes()
    with pytest.raises(StoreUnusable, match=r"older Honeyguide.*start this version's server on it once"):
        SqliteStore(old, read_only=True)
    assert (old / FILE_NAME).read_bytes() == before


def test_an_older_folder_is_backed_up_as_it_is(old: Path, tmp_path: Path) -> None:
    """The backup that is made before an upgrade holds the old tables, and this version restores and migrates it."""
    made = backup(old, tmp_path / "backup", lambda: 7)
    assert made.migrations == ["first_light"]
    assert msgspec.json.decode((tmp_path / "backup" / "backup.json").read_bytes())["made_at"] == 7
    restore(tmp_path / "backup", tmp_path / "new")
    store = SqliteStore(tmp_path / "new")
    assert store.log_position("a") == 4
    store.close()
