"""Logs for tests of `ope`: four actions, a distribution and predictions in each row, and columns to cut by."""

import numpy as np
import polars as pl

ACTIONS = ("a", "b", "c", "d")


def log(n: int, *, seed: int) -> pl.DataFrame:
    """Return a log of n rows of a logger with a distribution of its own in each, with predictions."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 2.0), n)
    q = rng.random((n, 4))
    chosen = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    reward = (rng.random(n) < q[np.arange(n), chosen]).astype(float) * 3 - 1
    rows = [[{"action": a, "propensity": float(x)} for a, x in zip(ACTIONS, each, strict=True)] for each in p]
    return pl.DataFrame(
        {
            "at": pl.datetime_range(pl.datetime(2026, 3, 1), pl.datetime(2026, 3, 8), "1h", eager=True).sample(
                n, with_replacement=True, seed=seed
            ),
            "action": [ACTIONS[i] for i in chosen],
            "propensity": p[np.arange(n), chosen],
            "reward": reward,
            "distribution": rows,
            "predicted_rewards": (q * 3 - 1).tolist(),
            "device": rng.choice(["phone", "desk"], n),
            "context": [f'{{"of": {{"age": {age}}}}}' for age in rng.integers(1, 4, n)],
            "maker": rng.choice(["x", "y"], n),
        }
    )
