"""A loop's past, rebuilt from its log after a start or another config, as far back as its guards look."""

from collections.abc import Iterator

import msgspec

from bandit.exploration import History, history_of
from bandit.settings import LoopConfig
from store.ports import Store
from store.records import SECOND, Decision

LOOKS_BACK = 1.02
"""Windows of a budget that are read back: a 64th more than one, because its buckets begin at round times."""
_EVER = 2**62
_CHUNK = 1000


class _Entities(msgspec.Struct, frozen=True):
    """The part of a decision request that the budget looks at."""

    entities: dict[str, str] = {}


def open_history(store: Store, loop: str, config: LoopConfig, now: int, before: History) -> History:
    """Return the history that the config needs; what `before` does not have comes from the log.

    The budget reads the decisions of its window, the gate the newest decision, which logged the gate's sums; counts of
    learned outcomes begin where the log does and are for the caller to bring up to date.
    """
    top = None if config.reward.range is None else config.reward.range[1]
    history = history_of(config.exploration, top, now, before)
    if history.budget is not None and history.budget is not before.budget:
        for decision in _since(store, loop, now - round(history.budget.config.window_s * LOOKS_BACK * SECOND)):
            entities = msgspec.json.decode(decision.request, type=_Entities).entities
            history.spend_budget(decision, entities)
    if history.gate is not None and history.gate is not before.gate:
        newest = None
        for newest in _after(store, loop, max(0, _last_before(store, loop, _EVER) - 1)):  # noqa: B007  # the last one
            pass
        history.gate.open(newest, through=store.log_position(loop))
    history.pass_over(store.log_start(loop) - 1)
    return history


def _since(store: Store, loop: str, since: int) -> Iterator[Decision]:
    for decision in _after(store, loop, _last_before(store, loop, since)):
        if decision.at >= since:
            yield decision


def _after(store: Store, loop: str, position: int) -> Iterator[Decision]:
    while rows := store.logged(loop, since=0, until=_EVER, after=position, limit=_CHUNK):
        for row in rows:
            yield row.decision
        position = rows[-1].decision.position


def _last_before(store: Store, loop: str, since: int) -> int:
    """Return a position from which on the decisions at or after `since` are found, a few steps at most before them.

    Decisions are in the order of their times, so two dozen looks find it in a log of any length.
    """
    low, high = 0, 1
    while (position := _next_before(store, loop, high, since)) is not None:
        low, high = position, max(high * 2, position + 1)
    while high - low > 1:
        middle = (low + high) // 2
        position = _next_before(store, loop, middle, since)
        if position is None:
            high = middle
        else:
            low = position
    return low


def _next_before(store: Store, loop: str, after: int, since: int) -> int | None:
    """Return the position of the next decision, or None where there is none from before `since`."""
    rows = store.logged(loop, since=0, until=_EVER, after=after, limit=1)
    return rows[0].decision.position if rows and rows[0].decision.at < since else None
