"""Logs of a candidate whose lift over the policy that logs is known: none in five ways, and any in one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from simulator.experiments.coverage_worlds import EPSILON, LEAST, LOGGING, TARGET, Floats

LEVEL = np.array([0.5, 0.2, 0.8, 0.3])
"""Means of four actions with which TARGET earns as much as LOGGING."""
RARE, HEAVY = 0.005, 0.3
SEASON = 4000
"""Decisions from one high of the seasonal world to the next."""


@dataclass(frozen=True, slots=True)
class World:
    """Where logs come from: weights and rewards, shape (logs, rows), and the true lift of the target."""

    name: str
    lift: float
    draw: Callable[[np.random.Generator, int, int], tuple[Floats, Floats]]


def _bernoulli(rng: np.random.Generator, means: Floats) -> Floats:
    return (rng.random(means.shape) < means).astype(float)


def _fixed(rng: np.random.Generator, logs: int, rows: int, *, means: Floats) -> tuple[Floats, Floats]:
    arm = rng.choice(4, (logs, rows), p=LOGGING)
    return (TARGET / LOGGING)[arm], _bernoulli(rng, means[arm])


def _adaptive(rng: np.random.Generator, logs: int, rows: int, *, season: int | None = None) -> tuple[Floats, Floats]:
    """Epsilon-greedy by the means so far, of actions that all earn the same, at every time: it runs after noise."""
    counts, sums = np.ones((logs, 4)), np.full((logs, 4), 0.5)
    w, r, each = np.empty((logs, rows)), np.empty((logs, rows)), np.arange(logs)
    for t in range(rows):
        p = np.full((logs, 4), EPSILON / 4)
        p[each, (sums / counts).argmax(axis=1)] += 1 - EPSILON
        arm = (p.cumsum(axis=1) < rng.random((logs, 1))).sum(axis=1).clip(max=3)
        mean = 0.5 if season is None else 0.5 + 0.4 * np.sin(2 * np.pi * t / season)
        w[:, t], r[:, t] = TARGET[arm] / p[each, arm], rng.random(logs) < mean
        counts[each, arm] += 1
        sums[each, arm] += r[:, t]
    return w, r


def _heavy(rng: np.random.Generator, logs: int, rows: int) -> tuple[Floats, Floats]:
    """The target plays the first of two equal actions, whose propensity is anything from 0.004 on."""
    p = LEAST ** rng.random((logs, rows))
    w = np.where(rng.random((logs, rows)) < p, 1 / p, 0.0)
    return w, _bernoulli(rng, np.full((logs, rows), HEAVY))


def lifted(lift: float) -> World:
    """Return the world of fixed odds with a lift of up to 0.2: better where the target would rather go."""
    apart = TARGET - LOGGING
    return World("fixed", lift, partial(_fixed, means=LEVEL + lift * apart / (apart @ apart)))


NULLS = (
    lifted(0.0),
    World("adaptive", 0.0, _adaptive),
    World("season", 0.0, partial(_adaptive, season=SEASON)),
    World("heavy", 0.0, _heavy),
    World("rare", 0.0, partial(_fixed, means=np.full(4, RARE))),
)
LIFTS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
