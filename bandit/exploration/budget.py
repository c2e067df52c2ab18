"""The budget over time: which share of the decisions in a sliding window may be exploration.

A decision spends the probability, fixed before its draw, that it explores: 1 - q(G). So what the next one may spend
does not depend on any draw.
"""

import math
from collections import OrderedDict, deque

import msgspec

from store.errors import InvalidInput
from store.records import SECOND

BUCKETS = 64
"""The window moves in steps of a 64th: sums over it are exact for its newest 63 to 64 parts."""
MOST_ENTITIES = 100_000
"""Values of the entity key that are remembered; beyond, the one that was silent the longest is forgotten."""


class BudgetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Over `window_s` seconds, expected exploration is at most `share` of the decisions.

    With `entity`, that holds for each value of that key of the requests' `entities` too.
    """

    share: float
    window_s: float
    entity: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InvalidInput(f"exploration.budget.share is {self.share!r}; it must be 0 to 1")
        if not 1 <= self.window_s <= 31_536_000:
            raise InvalidInput(
                f"exploration.budget.window_s is {self.window_s!r}; it must be 1 to 31,536,000 seconds, a year"
            )
        if self.entity is not None and not self.entity:
            raise InvalidInput("exploration.budget.entity is ''; name a key of the requests' entities, or use null")


class Spent(msgspec.Struct, frozen=True):
    """How many decisions a window has, and what they spent together."""

    decisions: int = 0
    exploration: float = 0.0


class Window:
    """Decisions and exploration of the last `step` x 64 microseconds, in at most 64 buckets; times may not go back."""

    __slots__ = ("_buckets", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self._buckets: deque[tuple[int, int, float]] = deque()

    def add(self, at: int, exploration: float) -> None:
        """Count a decision; one that is older than the newest bucket counts there."""
        number, decisions, spent = at // self.step, 0, 0.0
        if self._buckets and self._buckets[-1][0] >= number:
            number, decisions, spent = self._buckets.pop()
        self._buckets.append((number, decisions + 1, spent + exploration))
        while self._buckets[0][0] <= number - BUCKETS:
            self._buckets.popleft()

    def withdraw(self, at: int, exploration: float) -> None:
        """Take a decision back that was added with the same arguments, if it is still in the window."""
        for i, (number, decisions, spent) in enumerate(self._buckets):
            if number >= at // self.step and decisions:
                self._buckets[i] = (number, decisions - 1, max(0.0, spent - exploration))
                return

    def total(self, at: int) -> Spent:
        """Return what lies in the window that ends at `at`."""
        first = at // self.step - BUCKETS
        inside = [bucket for bucket in self._buckets if bucket[0] > first]
        return Spent(sum(bucket[1] for bucket in inside), math.fsum(bucket[2] for bucket in inside))

    def is_over(self, at: int) -> bool:
        """Say whether nothing of it lies in the window that ends at `at`."""
        return not self._buckets or self._buckets[-1][0] <= at // self.step - BUCKETS


class Budget:
    """What a loop spent in its window, and each entity in its own; `since` is when counting began, in microseconds."""

    __slots__ = ("_entities", "_loop", "_since", "config")

    def __init__(self, config: BudgetConfig, since: int = -1) -> None:
        self.config = config
        self._since = since
        self._loop = Window(self._step())
        self._entities: OrderedDict[str, Window] = OrderedDict()

    def allowance(self, at: int, entity: str | None) -> float:
        """Return the largest exploration x of a decision at `at` with (spent + x) <= share (decisions + 1).

        0 or more; the smaller of the loop's and the entity's.
        """
        windows = [self._loop]
        if entity is not None:
            windows.append(self._entities.get(entity) or Window(self._step()))
        totals = [window.total(at) for window in windows]
        return max(0.0, min(self.config.share * (t.decisions + 1) - t.exploration for t in totals))

    def add(self, at: int, entity: str | None, exploration: float) -> None:
        """Spend what a decision may explore."""
        self._loop.add(at, exploration)
        if entity is not None:
            self._entities.setdefault(entity, Window(self._step())).add(at, exploration)
            self._entities.move_to_end(entity)
            self._forget(at)

    def withdraw(self, at: int, entity: str | None, exploration: float) -> None:
        """Take back what was added with the same arguments; what was on its way when counting began never was."""
        if at <= self._since:
            return
        self._loop.withdraw(at, exploration)
        if entity is not None and entity in self._entities:
            self._entities[entity].withdraw(at, exploration)

    def total(self, at: int) -> Spent:
        """Return what the loop spent in the window that ends at `at`."""
        return self._loop.total(at)

    @property
    def entities(self) -> int:
        """How many values of the entity key are remembered."""
        return len(self._entities)

    def _forget(self, at: int) -> None:
        while len(self._entities) > MOST_ENTITIES or next(iter(self._entities.values())).is_over(at):
            self._entities.popitem(last=False)

    def _step(self) -> int:
        return max(1, math.ceil(self.config.window_s * SECOND / BUCKETS))
