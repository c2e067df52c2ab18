"""A log of several days for tests of archive and backup, and all that can be read of one."""

from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
from support import decision, loop

from store.log.archive.delete import Done, delete
from store.log.archive.delete import Limit as RetentionLimit
from store.log.archive.manifest import Sealed
from store.log.archive.prune import Limit, prune
from store.log.archive.seal import reading, seal
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store, write
from store.records import SECOND, Cell, Outcome, Reward

DAY = 86_400 * SECOND
DAYS = 5
NOW = DAYS * DAY - 1
"""The last microsecond of the fifth day: four days are over."""
ALL = Limit(due_before=4 * DAY, checkpoint=10**9)
ANY = RetentionLimit(
    before=date(1970, 1, 1), due_before=NOW, at_before=NOW, audited=10**9, outcomes=10**9, state="the state"
)


def fill(store: Store, count: int, *, days: int = DAYS) -> None:
    """Log decisions of the loops a and b in turns, spread over the days, with what comes of them.

    Every third has two rewards, every fourth is corrected later, every fifth is shown late, every seventh gets nothing.
    """
    write(store, [lambda tx, name=name: tx.put_loop(loop(name)) for name in "ab"])
    for i in range(count):
        write(store, [lambda tx, i=i: _one(tx, i, i * days * DAY // count)])


def _one(tx, i: int, at: int) -> None:
    name = "ab"[i % 2]
    made = tx.add_decision(decision(f"d{i}", loop=name, at=at, deferred=i % 5 == 0))
    if i % 5 == 0:
        tx.activate(made, at + 1)
    if i % 7 == 0:
        tx.count(name, decisions=1, expired=1)
    for number in range(0 if i % 7 == 0 else 1 + (i % 3 == 0)):
        ident = None if i % 11 == 0 else f"r{i}-{number}"
        tx.add_reward(
            Reward(
                loop=name,
                decision_id=f"d{i}",
                value=0.1 * i,
                received_at=at + 2,
                occurred_at=at,
                reward_id=ident,
                slot=0,
            )
        )
    tx.close(made)
    kind = "expired" if i % 7 == 0 else "rewarded"
    cells = (Cell(0, "click", 0.1 * i),) if i % 3 == 0 else ()
    value = Outcome(loop=name, position=0, decision_id=f"d{i}", kind=kind, value=0.1 * i, at=at + 3, earned=cells)
    first = tx.add_outcome(made, value)
    if i % 4 == 0:
        corrected = Outcome(
            loop=name,
            position=0,
            decision_id=f"d{i}",
            kind="corrected",
            value=-1.0,
            at=at + 4,
            previous=first.value,
            revises=first.position,
            root=first.position,
        )
        tx.add_outcome(made, corrected)


def everything(store: Store) -> list[object]:
    """All that the readers of a store say about the loops a and b."""
    found: list[object] = [store.decisions(after=0, limit=10**6), store.decisions(after=7, limit=5)]
    for name in "ab":
        logged = store.logged(name, since=0, until=2**62, after=0, limit=10**6)
        found += [logged, store.logged(name, since=DAY, until=2 * DAY, after=3, limit=7)]
        found += [store.examples(name, after=after, limit=limit) for after, limit in ((0, 10**6), (17, 5), (400, 400))]
        found += [store.log_position(name), store.first_open(name), store.counts(name)]
        for row in logged:
            ident = row.decision.decision_id
            found += [store.decision(name, ident), store.rewards(name, ident), store.outcomes(name, ident)]
            found += [store.activated(name, ident)]
    return found


def seal_all(data: Path, now: int = NOW) -> list[Sealed]:
    """Seal what can be sealed now."""
    with reading(data / FILE_NAME) as connection:
        return seal(data, connection, lambda: now)


def prune_all(data: Path, limit: Limit = ALL) -> dict[str, int]:
    """Prune both loops."""
    connection = connect(data / FILE_NAME)
    try:
        return prune(data, connection, {"a": limit, "b": limit})
    finally:
        connection.close()


def opened(data: Path) -> list[object]:
    """All that can be read of a folder."""
    store = SqliteStore(data)
    found = everything(store)
    store.close()
    return found


def delete_before(data: Path, day: str, limit: RetentionLimit = ANY, now: int = NOW) -> dict[str, Done]:
    """Delete what was pruned of the days before this one, of both loops."""
    limit = msgspec.structs.replace(limit, before=date.fromisoformat(day))
    with closing(connect(data / FILE_NAME)) as connection, closing(SqliteStore(data)) as store:
        return delete(data, store, connection, {"a": limit, "b": limit}, now)
