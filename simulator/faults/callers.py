"""Callers that go on while the server comes and goes, and note every answer that they were given.

Each sends a request until it is answered, with the same ids each time, as a careful client does. What a caller noted
was acknowledged: whatever happened to the server, it must be in the log, once.
"""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bandit.client import ApiError, Client, Retries, Unreachable

Json = dict[str, Any]

ACTIONS: Sequence[Mapping[str, Any]] = ({"id": "a"}, {"id": "b", "features": {"q": 1.5}}, {"id": "c"})
_AGAIN_S = 0.02
"""How long a caller waits before it sends again what was not answered."""


@dataclass(slots=True)
class Notes:
    """What was acknowledged, by loop and id, and how often a request was refused or not answered at all.

    `served` holds each decision's ranking and model version as answered; `rewarded`, by decision, the value of its
    reward. The answers to a repeated request are held against the first one in `disagreements`.
    """

    served: dict[tuple[str, str], tuple[list[str], str]] = field(default_factory=dict)
    rewarded: dict[tuple[str, str], float] = field(default_factory=dict)
    refusals: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    disagreements: list[str] = field(default_factory=list)

    def add(self, other: "Notes") -> None:
        """Take over what another caller noted."""
        self.served |= other.served
        self.rewarded |= other.rewarded
        self.refusals += other.refusals
        self.unanswered += other.unanswered
        self.disagreements += other.disagreements


def reward_id(decision_id: str) -> str:
    """Name the one reward that a caller sends for a decision."""
    return f"reward-{decision_id}"


class Caller:
    """One caller: a decision on each loop in turn, and for most of them a reward, now and then twice."""

    def __init__(self, client: Client, loops: Sequence[str], name: str, stop: threading.Event) -> None:
        self.notes = Notes()
        self._client = client
        self._loops = loops
        self._name = name
        self._stop = stop
        self._random = random.Random(name)

    def run(self) -> Notes:
        """Call until stopped; return what was noted."""
        for number, loop in zip(itertools.count(), itertools.cycle(self._loops), strict=False):
            if self._stop.is_set():
                break
            self._meet(loop, f"{self._name}-{number:06d}")
        return self.notes

    def _meet(self, loop: str, decision_id: str) -> None:
        context = {"x": round(self._random.random(), 3), "who": f"u{self._random.randrange(5)}"}
        times = self._random.choices([0, 1, 2], [2, 7, 1])[0]
        value = round(self._random.random(), 3)
        for _ in range(2 if times == 2 else 1):
            answer = self._insist(
                lambda: self._client.decide(loop, context=context, actions=ACTIONS, decision_id=decision_id)
            )
            if answer is None:
                return
            self._note_decision(loop, decision_id, answer)
        for _ in range(times):
            reward = lambda: self._client.reward(  # noqa: E731  # a name for what is sent again
                loop, decision_id=decision_id, value=value, reward_id=reward_id(decision_id)
            )
            if self._insist(reward) is not None:
                self.notes.rewarded[loop, decision_id] = value

    def _note_decision(self, loop: str, decision_id: str, answer: Json) -> None:
        told = [slot["action"] for slot in answer["ranking"]], answer["model_version"]
        first = self.notes.served.setdefault((loop, decision_id), told)
        if told != first:
            self.notes.disagreements.append(f"{loop}/{decision_id} was answered {first}, then {told}")

    def _insist(self, send: Callable[[], Json]) -> Json | None:
        """Send until it is answered with 2xx; None when stopped. Raises what is neither 503 nor a lost server."""
        while not self._stop.is_set():
            try:
                return send()
            except Unreachable:
                self.notes.unanswered += 1
            except ApiError as error:
                self.notes.refusals[error.status] += 1
                if error.status != 503:
                    raise
            self._stop.wait(_AGAIN_S)
        return None


@contextmanager
def calling(url: str, loops: Sequence[str], *, callers: int, name: str) -> Iterator[Notes]:
    """Keep `callers` callers going inside the block; on leaving they stop, and the notes are filled.

    `name` seeds what they send and begins their ids: two runs on one loop need two names.
    Raises what a caller was answered that is neither 2xx nor 503.
    """
    notes, stop = Notes(), threading.Event()
    with ExitStack() as clients, ThreadPoolExecutor(callers) as pool:
        runs = []
        for number in range(callers):
            # A connection each, as callers have that know nothing of one another.
            client = Client(url, timeout_s=10, retries=Retries(attempts=1), trust_env=False)
            caller = Caller(clients.enter_context(client), loops, f"{name}-{number}", stop)
            runs.append(pool.submit(caller.run))
        try:
            yield notes
        finally:
            stop.set()
        for run in runs:
            notes.add(run.result())
