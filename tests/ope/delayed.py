"""Logs whose rewards come late, small ones by hand and simulated ones whose truth is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from ope.delays.asked import Delays
from ope.evaluate import evaluate_frame
from ope.question import Question

START = datetime(2026, 3, 14, tzinfo=UTC)
WINDOW = 1_000
"""Seconds: one step of the grid each."""
MEANS, TARGET = np.array([0.2, 0.6]), np.array([0.2, 0.8])
KINDS = ("exponential", "heavy", "by action")


def by_hand(rows, **columns):
    """Return a log of rows (at, delay or None, reward or None), times in seconds after START; weights are 1."""
    at = [START + timedelta(seconds=second) for second, _, _ in rows]
    came = [
        None if delay is None else made + timedelta(seconds=delay) for made, (_, delay, _) in zip(at, rows, strict=True)
    ]
    return pl.DataFrame(
        {
            "at": at,
            "rewarded_at": pl.Series(came, dtype=pl.Datetime("us", "UTC")),
            "reward": pl.Series([reward for *_, reward in rows], dtype=pl.Float64),
            "propensity": [0.5] * len(rows),
            "target_propensity": [0.5] * len(rows),
            **columns,
        }
    )


def now(seconds):
    """Return that many seconds after START as text."""
    return (START + timedelta(seconds=seconds)).isoformat()


def evaluated(log, *, estimators=("ips",), reward_range=None, policies=(), **delays):
    """Return the evaluation of the only target."""
    question = Question(
        policies=policies,
        estimators=estimators,
        reward_range=reward_range,
        delays=Delays(**{"window_s": WINDOW, **delays}),
    )
    (found,) = evaluate_frame(log, question).values()
    return found


def truth(kind):
    """Return the target's true value of the reward within the window."""
    return float(TARGET @ (MEANS * _in_window(kind)))


def simulated(rng, kind, *, rows=2_000, length=2.0):
    """Draw a log of so many windows as it looks at its end; its logger learns: it plays the better action ever more.

    Its column `full` is what is not known then: the reward that comes within the window. Also return the end as text.
    """
    span = length * WINDOW
    at = np.sort(rng.uniform(0, span, rows))
    better = 0.2 + 0.6 * at / span
    action = (rng.random(rows) < better).astype(int)
    delay = _delays(rng, kind, action)
    full = (rng.random(rows) < MEANS[action]) & (delay <= WINDOW)
    came = full & (at + delay <= span)
    start = int(START.timestamp() * 1e6)
    return pl.DataFrame(
        {
            "at": start + (at * 1e6).astype(np.int64),
            "rewarded_at": start + ((at + delay) * 1e6).astype(np.int64),
            "came": came,
            "propensity": np.where(action == 1, better, 1 - better),
            "target_propensity": TARGET[action],
            "action": action.astype(str),
            "full": full.astype(float),
        }
    ).select(
        pl.col("at").cast(pl.Datetime("us", "UTC")),
        pl.when("came").then(pl.col("rewarded_at").cast(pl.Datetime("us", "UTC"))),
        pl.when("came").then(1.0).alias("reward"),
        "propensity",
        "target_propensity",
        "action",
        "full",
    ), now(span)


def _delays(rng, kind, action):
    if kind == "exponential":
        return rng.exponential(WINDOW / 4, len(action))
    if kind == "heavy":
        return WINDOW / 20 * rng.pareto(1.0, len(action))
    return rng.exponential(np.where(action == 1, WINDOW / 2, WINDOW / 8))


def _in_window(kind):
    if kind == "exponential":
        return np.full(2, 1 - np.exp(-4.0))
    if kind == "heavy":
        return np.full(2, 1 - 1 / 21)
    return 1 - np.exp([-8.0, -2.0])
