"""What was served to whom lately: the memory of frequency caps, bounded, and rebuilt from the log at a start."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from bandit.ranking.guards import FrequencyCap
from store.records import SECOND

T = TypeVar("T")

MAX_REMEMBERED = 1_000_000
"""Served slots that one cap remembers; beyond it the oldest are forgotten before their window ends."""


class Served(Protocol):
    """What was served to whom, as a decision may read it."""

    def spent(self, entities: Mapping[str, str], actions: Iterable[str], now: int) -> dict[str, str]:
        """Return the actions that a cap keeps from these entities at that time, each with the entity key of the cap."""


class Frequency:
    """How often each action was served to each entity within each cap's window; `since` is when it was opened.

    Not part of a decision's randomness: it is read before a decision is sampled, and told of it afterwards.
    """

    __slots__ = ("_memories", "_since")

    def __init__(self, caps: Iterable[FrequencyCap], since: int = -1) -> None:
        self._since = since
        self._memories = [_Memory(cap) for cap in caps]

    @property
    def reach(self) -> int:
        """The longest window, in microseconds; 0 without a cap."""
        return max((memory.window for memory in self._memories), default=0)

    def served(self, entities: Mapping[str, str], actions: Iterable[str], at: int) -> None:
        """Count what a decision served; tell decisions in the order of their times."""
        for memory in self._memories:
            if memory.cap.entity in entities:
                memory.add(entities[memory.cap.entity], actions, at)

    def not_served(self, entities: Mapping[str, str], actions: Iterable[str], at: int) -> None:
        """Take back a decision that was counted and turned out to be none: a repetition, or not stored."""
        if at <= self._since:  # it was on its way when this memory was opened, so nobody counted it here
            return
        for memory in self._memories:
            if memory.cap.entity in entities:
                memory.remove(entities[memory.cap.entity], actions, at)

    def spent(self, entities: Mapping[str, str], actions: Iterable[str], now: int) -> dict[str, str]:
        """Return the actions that a cap keeps from these entities at that time, each with the entity key of the cap."""
        found: dict[str, str] = {}
        for memory in self._memories:
            if memory.cap.entity in entities:
                names = memory.spent(entities[memory.cap.entity], actions, now)
                found.update((name, memory.cap.entity) for name in names if name not in found)
        return found


class _Memory:
    """One cap's window: what was served in it, oldest first, and the counts of that."""

    __slots__ = ("_counts", "_events", "_forgotten", "_taken_back", "cap", "window")

    def __init__(self, cap: FrequencyCap) -> None:
        self.cap = cap
        self.window = round(cap.window_s * SECOND)
        self._events: deque[tuple[int, str, str]] = deque()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._taken_back: Counter[tuple[int, str, str]] = Counter()
        self._forgotten = -1

    def add(self, entity: str, actions: Iterable[str], at: int) -> None:
        self._forget(at)
        for action in actions:
            self._events.append((at, entity, action))
            self._counts[entity, action] += 1
        while len(self._events) > MAX_REMEMBERED:
            self._drop(self._events.popleft())

    def remove(self, entity: str, actions: Iterable[str], at: int) -> None:
        # The event stays in the queue, which would be long to search, until its window ends.
        for action in actions:
            if at > self._forgotten and self._counts.get((entity, action), 0):
                _lower(self._counts, (entity, action))
                self._taken_back[at, entity, action] += 1

    def spent(self, entity: str, actions: Iterable[str], now: int) -> list[str]:
        self._forget(now)
        return [action for action in actions if self._counts.get((entity, action), 0) >= self.cap.max]

    def _forget(self, now: int) -> None:
        while self._events and self._events[0][0] <= now - self.window:
            self._drop(self._events.popleft())

    def _drop(self, event: tuple[int, str, str]) -> None:
        at, entity, action = event
        self._forgotten = max(self._forgotten, at)
        if self._taken_back.get(event):
            _lower(self._taken_back, event)
        else:
            _lower(self._counts, (entity, action))


def _lower(counts: Counter[T], key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
