"""What is to be erased: the decisions that were made for somebody, and how far each line had come when they were."""

import hashlib
import hmac
from collections.abc import Callable, Iterator

import msgspec

from bandit.learn.passing import is_for
from store.errors import Gone, InvalidInput, NotFound
from store.lineage import Entity
from store.ports import Store
from store.records import Decision, LoopRecord

_CHUNK = 1000
_EVER = 2**62


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased: decisions for an entity, in these loops (none: all), and those named by loop and id."""

    entities: tuple[Entity, ...] = ()
    decisions: tuple[tuple[str, str], ...] = ()
    loops: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """A loop's decisions that are to be erased, some of them as those for `entities`.

    `reached` says how far each of its lines had come, at least. Beyond its newest checkpoint a line had come where a
    decision says that it was made by such a state.
    """

    record: LoopRecord
    decisions: list[Decision]
    reached: dict[str, int]
    entities: tuple[Entity, ...]


def find(store: Store, wanted: Wanted, progress: Callable[[int], None]) -> list[Found]:
    """Look through the logs of the loops; what is erased already is not found.

    Raises `InvalidInput` for an unknown loop, and `NotFound` for a decision that never was.
    """
    records = {record.name: record for record in store.loops()}
    named = _named(store, wanted, records)
    loops = [*(wanted.loops or (records if wanted.entities else ())), *named]
    found = []
    for name in dict.fromkeys(loops):
        if name not in records:
            raise _no_loop(name, records)
        found.append(_look_through(store, records[name], _entities(wanted, name), named.get(name, {}), progress))
    return found


def hashes(wanted: Wanted, record: LoopRecord) -> tuple[str, ...]:
    """Return what tells whoever knows an id, and has the loop's secret, that it was asked for in that loop."""
    said = [
        *(("entity", *entity) for entity in _entities(wanted, record.name)),
        *(("decision", name) for loop, name in wanted.decisions if loop == record.name),
    ]
    content = (msgspec.json.encode(words) for words in said)
    return tuple(hmac.new(record.secret, words, hashlib.sha256).hexdigest() for words in content)


def _entities(wanted: Wanted, loop: str) -> tuple[Entity, ...]:
    return wanted.entities if not wanted.loops or loop in wanted.loops else ()


def _look_through(
    store: Store,
    record: LoopRecord,
    entities: tuple[Entity, ...],
    named: dict[str, Decision],
    progress: Callable[[int], None],
) -> Found:
    decisions, reached = [], store.stored_through(record.name)
    for decision in _logged(store, record.name):
        line, _, position = decision.model_version.rpartition("@")
        reached[line] = max(int(position), reached.get(line, 0))
        if decision.decision_id in named or (entities and is_for(decision, entities)):
            decisions.append(decision)
        progress(1)
    return Found(record, decisions, reached, entities)


def _logged(store: Store, loop: str) -> Iterator[Decision]:
    after = 0
    while rows := store.logged(loop, since=0, until=_EVER, after=after, limit=_CHUNK):
        yield from (row.decision for row in rows)
        after = rows[-1].decision.position


def _named(store: Store, wanted: Wanted, records: dict[str, LoopRecord]) -> dict[str, dict[str, Decision]]:
    found: dict[str, dict[str, Decision]] = {}
    for loop, name in wanted.decisions:
        if loop not in records:
            raise _no_loop(loop, records)
        try:
            decision = store.decision(loop, name)
        except Gone:
            continue
        if decision is None:
            raise NotFound(f"loop {loop!r} has no decision {name!r}: check the id, or the loop it belongs to")
        found.setdefault(loop, {})[name] = decision
    return found


def _no_loop(name: str, records: dict[str, LoopRecord]) -> InvalidInput:
    return InvalidInput(f"there is no loop {name!r} in this data folder; its loops are: {', '.join(records) or 'none'}")
