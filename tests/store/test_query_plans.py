"""Work on the log costs what it touches, not what is open: no statement of the hot path scans a table."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import decision, loop

from store.ledger.join import expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log.sqlite import SqliteStore
from store.ports import write
from store.records import Reward

RULES = RewardRules(window_s=10)


@pytest.fixture
def statements(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, set[str]]]:
    """A store's writing connection, and every statement that decisions, rewards and expiry made it run."""
    store = SqliteStore(tmp_path)
    seen: set[str] = set()
    write(store, [lambda tx: tx.put_loop(loop("a"))])
    store._writer.set_trace_callback(seen.add)
    for i in range(3):
        d = decision(str(i), at=i, window=10)
        write(store, [lambda tx, d=d: record_decision(tx, d, RULES, known_id=True)])
    for name in ("0", "nobody"):
        r = Reward(loop="a", decision_id=name, value=1.0, received_at=5, occurred_at=5, reward_id=name)
        write(store, [lambda tx, r=r: record_reward(tx, r, RULES)])
    write(store, [lambda tx: expire(tx, 99, lambda name: RULES, limit=9)])
    store._writer.set_trace_callback(None)
    yield store._writer, seen
    store.close()


@pytest.mark.parametrize("provisional", [False, True])
def test_closing_reads_no_more_for_many_that_are_silent(tmp_path: Path, *, provisional: bool) -> None:
    """Decisions to which no reward came are closed with one SELECT, however many they are."""
    store = SqliteStore(tmp_path)
    write(store, [lambda tx: tx.put_loop(loop("a"))])
    seen: list[str] = []
    for i in range(50):
        d = decision(str(i), at=0, window=10)
        write(store, [lambda tx, d=d: record_decision(tx, d, RULES, known_id=False, provisional=provisional)])
    store._writer.set_trace_callback(seen.append)
    [closed] = write(store, [lambda tx: expire(tx, 10, lambda name: RULES, limit=99)])
    store.close()
    assert len(closed) == 50
    assert sum(statement.startswith("SELECT") for statement in seen) == 1


def test_no_statement_scans_a_table(statements: tuple[sqlite3.Connection, set[str]]) -> None:
    """Each SELECT, UPDATE and DELETE looks its rows up by an index."""
    connection, seen = statements
    checked = [s for s in seen if s.startswith(("SELECT", "UPDATE", "DELETE"))]
    assert any(s.startswith("DELETE FROM open_decisions") for s in checked)
    for statement in checked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
        assert scans == [], (statement, plan)
