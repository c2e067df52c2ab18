"""Simulated logs for reward models: contexts and actions with features, a known distribution of rewards."""

import json

import numpy as np
import polars as pl

LOGGING = np.array([0.6, 0.3, 0.1])
EFFECTS = np.array([[0.5, -1.0], [0.0, 1.0], [1.5, 0.5]])
"""What intercept and slope each action's mean reward has in x."""
NAMES = ("a", "b", "c")
SIZES = (1.0, 2.0, 4.0)
ACTIONS = json.dumps([{"id": name, "features": {"size": size}} for name, size in zip(NAMES, SIZES, strict=True)])
PAIRS = [{"action": name, "propensity": p} for name, p in zip(NAMES, LOGGING, strict=True)]
TRUTH = {f"fixed:{name}": float(effect[0]) for name, effect in zip(NAMES, EFFECTS, strict=True)}
"""The mean of x is 0."""


def world(rows, seed, *, noise=0.5, binary=False):
    """Draw a log of three actions with a context of one number and one word."""
    rng = np.random.default_rng(seed)
    x, word = rng.normal(size=rows), rng.choice(["red", "blue"], rows)
    arm = rng.choice(3, rows, p=LOGGING)
    reward = EFFECTS[arm, 0] + EFFECTS[arm, 1] * x + noise * rng.normal(size=rows)
    return pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(rows)],
            "context": [json.dumps({"x": float(v), "word": str(w)}) for v, w in zip(x, word, strict=True)],
            "actions": [ACTIONS] * rows,
            "distribution": [PAIRS] * rows,
            "action": [NAMES[a] for a in arm],
            "propensity": LOGGING[arm],
            "reward": (reward > 0).astype(float) if binary else reward,
            "user": [f"u{i % 20}" for i in range(rows)],
        }
    )
