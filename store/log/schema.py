"""The embedded store's tables, as migrations that run in order, each in one transaction with its record."""

import msgspec
from sqlite_utils import Database, Migrations

migrations = Migrations("honeyguide")

MIGRATION_NAMES = frozenset(
    {"first_light", "ledger", "standing_audit", "configs", "archive", "relearning", "retention", "lines"}
)
"""Every migration that this program knows; `tests/store/test_sqlite.py` holds it against the ones registered."""

APPLICATION_ID = 0x48474C47
"""`PRAGMA application_id` of our files ("HGLG"), so that no other SQLite file is taken for one."""


@migrations()
def first_light(db: Database) -> None:
    """Loops, the decision log, the reward ledger, the outcome log, checkpoints and running totals."""
    for statement in _FIRST_LIGHT.split(";"):
        db.execute(statement)


@migrations()
def ledger(db: Database) -> None:
    """Outcomes say what they are made of and what they revise; deferred decisions are activated."""
    for statement in _LEDGER.split(";"):
        db.execute(statement)
    for loop, position, slot, value in db.execute(
        "SELECT loop, position, slot, value FROM outcomes WHERE slot IS NOT NULL"
    ).fetchall():
        earned = msgspec.msgpack.encode([0.0, [[slot, None, value]]])
        db.execute("UPDATE outcomes SET earned = ? WHERE loop = ? AND position = ?", (earned, loop, position))
    db.execute("ALTER TABLE outcomes DROP COLUMN slot")


_LEDGER = """
CREATE TABLE activations (decision INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
ALTER TABLE outcomes ADD COLUMN earned BLOB;
ALTER TABLE outcomes ADD COLUMN revises INTEGER;
ALTER TABLE outcomes ADD COLUMN root INTEGER;
ALTER TABLE checkpoints ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
UPDATE checkpoints SET settled = (
    SELECT count(*) FROM outcomes o
    WHERE o.loop = checkpoints.loop AND o.position <= checkpoints.position AND o.kind <> 'corrected'
);
UPDATE outcomes SET revises = (
    SELECT max(p.position) FROM outcomes p WHERE p.decision = outcomes.decision AND p.position < outcomes.position
) WHERE kind = 'corrected';
UPDATE outcomes SET root = (SELECT min(p.position) FROM outcomes p WHERE p.decision = outcomes.decision)
WHERE kind = 'corrected'
"""


@migrations()
def standing_audit(db: Database) -> None:
    """Each loop's propensity audit, as far as it has come."""
    db.execute(
        "CREATE TABLE audits (loop INTEGER PRIMARY KEY, position INTEGER NOT NULL, state BLOB NOT NULL,"
        " at INTEGER NOT NULL) STRICT"
    )


@migrations()
def configs(db: Database) -> None:
    """Every config that a loop has had, by revision; of older ones only the newest is known."""
    db.execute(
        "CREATE TABLE configs (loop INTEGER NOT NULL, revision INTEGER NOT NULL, config TEXT NOT NULL,"
        " at INTEGER NOT NULL, PRIMARY KEY (loop, revision)) STRICT, WITHOUT ROWID"
    )
    db.execute("INSERT INTO configs SELECT id, revision, config, updated_at FROM loops")


@migrations()
def archive(db: Database) -> None:
    """What was pruned after it was sealed into the archive; the ids of pruned rewards stay known."""
    for statement in _ARCHIVE.split(";"):
        db.execute(statement)


_ARCHIVE = """
CREATE TABLE pruned (
    loop INTEGER PRIMARY KEY, decisions INTEGER NOT NULL, outcomes INTEGER NOT NULL
) STRICT;
CREATE TABLE pruned_rewards (
    loop INTEGER NOT NULL, reward_id TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (loop, reward_id)
) STRICT, WITHOUT ROWID
"""


@migrations()
def relearning(db: Database) -> None:
    """Where lines learned their log anew."""
    db.execute(
        "CREATE TABLE relearnings (loop INTEGER NOT NULL, line TEXT NOT NULL, position INTEGER NOT NULL,"
        " at INTEGER NOT NULL, PRIMARY KEY (loop, line, position)) STRICT, WITHOUT ROWID"
    )


@migrations()
def retention(db: Database) -> None:
    """What was deleted, and where lines began and learned anew in what was left."""
    for statement in _RETENTION.split(";"):
        db.execute(statement)


_RETENTION = """
CREATE TABLE deletions (
    loop INTEGER NOT NULL, decisions INTEGER NOT NULL, outcomes INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (loop, decisions)
) STRICT, WITHOUT ROWID;
ALTER TABLE checkpoints ADD COLUMN began INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relearnings ADD COLUMN since INTEGER NOT NULL DEFAULT 0
"""


@migrations()
def lines(db: Database) -> None:
    """Lines that pass over a part of the log, lines that learned what was erased since, and what was erased."""
    for statement in _LINES.split(";"):
        db.execute(statement)


_LINES = """
CREATE TABLE lines (
    loop INTEGER NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, why TEXT NOT NULL, passes_over TEXT NOT NULL,
    opened_at INTEGER NOT NULL, PRIMARY KEY (loop, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE taints (
    loop INTEGER NOT NULL, line TEXT NOT NULL, position INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (loop, line)
) STRICT, WITHOUT ROWID;
CREATE TABLE erasures (
    loop INTEGER NOT NULL, at INTEGER NOT NULL, what TEXT NOT NULL, decisions INTEGER NOT NULL,
    outcomes INTEGER NOT NULL, rewards INTEGER NOT NULL, done_at INTEGER, PRIMARY KEY (loop, at)
) STRICT, WITHOUT ROWID
"""


_FIRST_LIGHT = """
CREATE TABLE loops (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL, secret BLOB NOT NULL,
    revision INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE decisions (
    position INTEGER PRIMARY KEY, loop INTEGER NOT NULL, decision_id TEXT NOT NULL, at INTEGER NOT NULL,
    due INTEGER NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX decisions_by_id ON decisions (loop, decision_id);
CREATE TABLE open_decisions (
    due INTEGER NOT NULL, position INTEGER NOT NULL, loop INTEGER NOT NULL, PRIMARY KEY (due, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE rewards (
    position INTEGER PRIMARY KEY, loop INTEGER NOT NULL, decision_id TEXT NOT NULL, reward_id TEXT,
    value REAL NOT NULL, slot INTEGER, component TEXT, occurred_at INTEGER NOT NULL, received_at INTEGER NOT NULL,
    status TEXT NOT NULL
) STRICT;
CREATE INDEX rewards_by_decision ON rewards (loop, decision_id);
CREATE UNIQUE INDEX rewards_by_id ON rewards (loop, reward_id) WHERE reward_id IS NOT NULL;
CREATE INDEX rewards_waiting ON rewards (loop, received_at) WHERE status = 'early';
CREATE TABLE outcomes (
    loop INTEGER NOT NULL, position INTEGER NOT NULL, decision INTEGER NOT NULL, kind TEXT NOT NULL,
    value REAL NOT NULL, at INTEGER NOT NULL, slot INTEGER, previous REAL, PRIMARY KEY (loop, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcomes_by_decision ON outcomes (decision, position);
CREATE TABLE checkpoints (
    loop INTEGER NOT NULL, line TEXT NOT NULL, position INTEGER NOT NULL, state BLOB NOT NULL, digest TEXT NOT NULL,
    fingerprint TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (loop, line, position)
) STRICT;
CREATE TABLE counts (
    loop INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (loop, name)
) STRICT, WITHOUT ROWID
"""
