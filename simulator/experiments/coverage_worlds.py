"""Logs whose target's value is known: plain, of a logger that learns, with heavy weights, and with rare rewards."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LOGGING, TARGET = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
MEANS, PREDICTED = np.array([0.2, 0.4, 0.5, 0.7]), np.array([0.3, 0.3, 0.6, 0.6])
RARE = np.array([0.002, 0.004, 0.005, 0.007])
EPSILON = 0.2
LEAST = 0.004
"""The smallest propensity of the world with heavy weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Weights, rewards and predictions of logs, in decision order; of shape (logs, rows), or (rows,) of one of them."""

    w: Floats
    r: Floats
    q: Floats
    d: Floats

    def log(self, i: int) -> "Rows":
        """Return one log."""
        return Rows(self.w[i], self.r[i], self.q[i], self.d[i])

    def between(self, start: int, stop: int) -> "Rows":
        """Return some rows of one log."""
        return Rows(self.w[start:stop], self.r[start:stop], self.q[start:stop], self.d[start:stop])


@dataclass(frozen=True, slots=True)
class World:
    """Where logs come from, with what is known beforehand: the target's value and the largest weight there can be."""

    name: str
    truth: float
    most: float
    draw: Callable[[np.random.Generator, int, int], Rows]


def _plain(rng: np.random.Generator, logs: int, rows: int, means: Floats, predicted: Floats) -> Rows:
    arm = rng.choice(4, (logs, rows), p=LOGGING)
    reward = (rng.random((logs, rows)) < means[arm]).astype(float)
    return Rows((TARGET / LOGGING)[arm], reward, predicted[arm], np.full((logs, rows), TARGET @ predicted))


def _iid(rng: np.random.Generator, logs: int, rows: int) -> Rows:
    return _plain(rng, logs, rows, MEANS, PREDICTED)


def _rare(rng: np.random.Generator, logs: int, rows: int) -> Rows:
    return _plain(rng, logs, rows, RARE, np.full(4, 0.005))


def _adaptive(rng: np.random.Generator, logs: int, rows: int) -> Rows:
    """Epsilon-greedy by the means so far, which are the predictions as well: nothing knows the row or what follows."""
    counts, sums = np.ones((logs, 4)), np.full((logs, 4), 0.5)
    found = Rows(*(np.empty((logs, rows)) for _ in range(4)))
    each = np.arange(logs)
    for t in range(rows):
        means = sums / counts
        p = np.full((logs, 4), EPSILON / 4)
        p[each, means.argmax(axis=1)] += 1 - EPSILON
        arm = (p.cumsum(axis=1) < rng.random((logs, 1))).sum(axis=1).clip(max=3)
        reward = (rng.random(logs) < MEANS[arm]).astype(float)
        found.w[:, t], found.r[:, t] = TARGET[arm] / p[each, arm], reward
        found.q[:, t], found.d[:, t] = means[each, arm], means @ TARGET
        counts[each, arm] += 1
        sums[each, arm] += reward
    return found


def _heavy(rng: np.random.Generator, logs: int, rows: int) -> Rows:
    """Two actions of which the target plays the first, which is the rarer in the log the better it is."""
    p = LEAST ** rng.random((logs, rows))
    first = rng.random((logs, rows)) < p
    reward = (rng.random((logs, rows)) < np.where(first, 0.8 - 0.6 * p, 0.3)).astype(float)
    half = np.full((logs, rows), 0.5)
    return Rows(np.where(first, 1 / p, 0.0), reward, half, half)


HEAVY_TRUTH = 0.8 - 0.6 * (1 - LEAST) / np.log(1 / LEAST)
WORLDS = (
    World("iid", float(TARGET @ MEANS), 4.0, _iid),
    World("adaptive", float(TARGET @ MEANS), 0.4 / (EPSILON / 4), _adaptive),
    World("heavy", float(HEAVY_TRUTH), 1 / LEAST, _heavy),
    World("rare", float(TARGET @ RARE), 4.0, _rare),
)
