"""Records for tests, and a service whose randomness is the same in every run."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from bandit import decide as decide_module
from bandit.service.service import Service
from store.ports import Store
from store.records import Clock, Decision, LoopRecord, Slot


def seeded_service(store: Store, clock: Clock) -> Service:
    """Return a service with the same ids and the same loop secret each time: what it samples is the same too."""
    stored = sum(store.counts(record.name).decisions for record in store.loops())
    numbers = itertools.count(stored)
    return Service(store, clock, lambda: f"id-{next(numbers)}", lambda: b"s" * 32)


async def calm(service: Service) -> None:
    """Do what the clock says is due, and wait until all is learned that may be learned by now."""
    await service.tick()
    await service.idle()


def loop(name: str, revision: int = 1) -> LoopRecord:
    """A loop record."""
    return LoopRecord(name=name, config=b"{}", secret=b"s" * 32, revision=revision, updated_at=7)


def decision(
    decision_id: str = "d",
    *,
    loop: str = "a",
    at: int = 0,
    window: int = 10,
    slots: int = 1,
    deferred: bool = False,
) -> Decision:
    """A decision between three actions."""
    actions = ["x", "y", "z"]
    return Decision(
        loop=loop,
        decision_id=decision_id,
        at=at,
        due=at + window,
        request=b'{"actions": [{"id": "x"}, {"id": "y"}, {"id": "z"}]}',
        actions=actions,
        propensities=[0.5, 0.25, 0.25],
        predicted=[0.1, 0.2, 0.3],
        ranking=[Slot(name, 0.5, explored=False) for name in actions[:slots]],
        policy="fixed",
        model_version="fixed-0@0",
        exploration=0.25,
        deferred=deferred,
    )


def every_ranking(ask: Callable[[], Decision]) -> Iterator[tuple[Decision, float]]:
    """Return every decision that `ask` can make, each with the probability of all its draws together.

    The one function that samples is replaced, so that decisions are forced through each branch in turn.
    """
    todo: list[list[int]] = [[]]
    while todo:
        path = todo.pop()
        seen: list[np.ndarray] = []

        def forced(q: np.ndarray, u: float, path=path, seen=seen) -> int:
            seen.append(q)
            return path[len(seen) - 1] if len(seen) <= len(path) else int(np.argmax(q))

        original, decide_module.sample = decide_module.sample, forced
        try:
            made = ask()
        finally:
            decide_module.sample = original
        branch = [*path, *(int(np.argmax(q)) for q in seen[len(path) :])]
        yield made, math.prod(float(q[k]) for q, k in zip(seen, branch, strict=True))
        for depth in range(len(path), len(seen)):
            todo += [[*branch[:depth], k] for k in range(len(seen[depth])) if k != branch[depth] and seen[depth][k] > 0]
