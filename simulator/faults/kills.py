"""`kill -9` at random moments under load: while serving, while starting, while learning what the last kill left."""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bandit.client import Client
from simulator.faults.callers import Notes, calling
from simulator.server import Running, free_port, started

_STARTING = 0.15
"""The share of kills that hit a server which is not ready yet."""
_SHORT_WINDOWS_S = 0.5
"""Windows shorter than this have ended when the last server stops, so that its log ends where its learner does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often to kill, and how long a server serves at most before; equal seeds, equal moments."""

    kills: int
    seed: int
    callers: int = 4
    longest_s: float = 0.6


@dataclass(frozen=True, slots=True)
class Survived:
    """What the callers noted, and how many of the kills hit a server that served."""

    notes: Notes
    kills: int
    while_serving: int


def kill_again_and_again(program: Sequence[str], loops: Mapping[str, Mapping[str, Any]], plan: Plan) -> Survived:
    """Start `python program` and kill it, again and again, with callers who never stop; stop the last one in order.

    `loops` are the configs to make. The last server learns all of its log before it stops.
    """
    port, rng, while_serving = free_port(), random.Random(plan.seed), 0
    with ExitStack() as callers:
        for life in range(plan.kills):
            early, moment = life > 0 and rng.random() < _STARTING, rng.random() * plan.longest_s
            with started(program, port=port) as server:
                if not early:
                    server.await_ready()
                    while_serving += 1
                if life == 0:
                    _make(server, loops)
                    team = calling(server.url, list(loops), callers=plan.callers, name=f"kill{plan.seed}")
                    notes = callers.enter_context(team)
                time.sleep(moment)
                server.kill()
        with started(program, port=port) as server:
            server.await_ready()
            time.sleep(plan.longest_s)
            callers.close()
            _settle(server, loops)
    return Survived(notes, plan.kills, while_serving)


def _make(server: Running, loops: Mapping[str, Mapping[str, Any]]) -> None:
    with Client(server.url, trust_env=False) as client:
        for name, config in loops.items():
            client.put_loop(name, config)


def _settle(server: Running, loops: Mapping[str, Mapping[str, Any]]) -> None:
    time.sleep(_SHORT_WINDOWS_S)
    with Client(server.url, trust_env=False) as client:
        for name in loops:
            client.wait_learned(name)
