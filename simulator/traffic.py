"""Drive a loop by its front door: for each row of a world decide, look the reward up, report it.

It knows the client and the world, and nothing of what happens behind the server.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from store.errors import InvalidInput

MOST_IN_FLIGHT = 4
"""More decisions at a time than this, and each is made by a state that is several rewards old."""


class World(Protocol):
    """What traffic needs of a world whose true rewards are known."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def context(self, row: int) -> Mapping[str, Any]:
        """Return what is known when deciding."""

    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Return the actions."""

    def reward(self, row: int, action: str) -> float:
        """Return what `action` earns on this row."""


class Front(Protocol):
    """What traffic needs of a client; `bandit.client.Client` is one."""

    def decide(
        self, loop: str, *, context: Mapping[str, Any], actions: Sequence[Mapping[str, Any]], decision_id: str
    ) -> dict[str, Any]:
        """Decide."""

    def reward(self, loop: str, *, decision_id: str, value: float, reward_id: str) -> dict[str, Any]:
        """Report a reward."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    `average_reward` is over all decisions so far and `last_quarter` over the newest quarter of them;
    `exploration_share` is the share whose first slot was explored.
    """

    total: int
    decisions: int
    rewards: int
    average_reward: float
    last_quarter: float
    exploration_share: float
    decisions_per_s: float


@dataclass(frozen=True, slots=True)
class _Step:
    reward: float
    explored: bool


class Tally:
    """Counts steps; the prefix sums make the average over the last quarter O(1)."""

    def __init__(self, *, total: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._total = total
        self._clock = clock
        self._began = clock()
        self._sums = [0.0]
        self._explored = 0

    def add(self, reward: float, *, explored: bool) -> Progress:
        """Count one rewarded decision and return where the run stands."""
        self._sums.append(self._sums[-1] + reward)
        self._explored += explored
        n = len(self._sums) - 1
        quarter = max(n // 4, 1)
        elapsed_s = max(self._clock() - self._began, 1e-9)
        return Progress(
            total=self._total,
            decisions=n,
            rewards=n,
            average_reward=self._sums[-1] / n,
            last_quarter=(self._sums[-1] - self._sums[-1 - quarter]) / quarter,
            exploration_share=self._explored / n,
            decisions_per_s=n / elapsed_s,
        )


def decision_id(run: str, row: int) -> str:
    """Name the decision on a row, so that a log can be held against the world afterwards."""
    return f"{run}-{row:06d}"


def row_of(decision: str) -> int:
    """Return the row of a decision that `decision_id` named."""
    return int(decision.rpartition("-")[2])


def drive(
    front: Front,
    *,
    loop: str,
    world: World,
    run: str,
    on_progress: Callable[[Progress], None],
    in_flight: int = 1,
) -> Progress:
    """Meet every row of the world once, in order; return where the run ended.

    `run` names this run in its decision ids; two runs on one loop need two names. With `in_flight` 1, the default,
    each reward is reported before the next decision is asked for; up to 4 rows may be met at a time.

    Raises InvalidInput for another `in_flight`, and what the client raises.
    """
    if not 1 <= in_flight <= MOST_IN_FLIGHT:
        raise InvalidInput(f"in_flight is {in_flight}; learning per interaction needs 1 to {MOST_IN_FLIGHT}")
    tally = Tally(total=len(world))
    with _mapping(in_flight) as over:
        for step in over(partial(_meet, front, loop, world, run), range(len(world))):
            progress = tally.add(step.reward, explored=step.explored)
            on_progress(progress)
    return progress


def _meet(front: Front, loop: str, world: World, run: str, row: int) -> _Step:
    name = decision_id(run, row)
    answer = front.decide(loop, context=world.context(row), actions=world.candidates(), decision_id=name)
    first = answer["ranking"][0]
    value = world.reward(row, first["action"])
    front.reward(loop, decision_id=name, value=value, reward_id=name)
    return _Step(value, bool(first["explored"]))


@contextmanager
def _mapping(in_flight: int) -> Iterator[Callable[..., Iterator[_Step]]]:
    if in_flight == 1:
        yield map
        return
    pool = ThreadPoolExecutor(in_flight)
    try:
        yield pool.map
    finally:
        # On Ctrl-C the rows that have not begun must not be met.
        pool.shutdown(cancel_futures=True)
