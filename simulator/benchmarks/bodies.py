"""The request that the benchmarks send: ten actions of ten features, and a small context."""

import msgspec
import numpy as np

ACTIONS = 10
FEATURES = 10
VARIETY = 64
"""How many different bodies a benchmark cycles through, so that no cache answers for the work."""


def decision_bodies(*, seed: int = 0, actions: int = ACTIONS, features: int = FEATURES) -> list[str]:
    """Return `VARIETY` bodies of `POST …/decisions` without a decision_id: the server names them."""
    rng = np.random.default_rng(seed)
    return [_body(rng, actions=actions, features=features) for _ in range(VARIETY)]


def _body(rng: np.random.Generator, *, actions: int, features: int) -> str:
    values = rng.random((actions, features)).round(4)
    context = {
        "hour": int(rng.integers(24)),
        "device": str(rng.choice(["phone", "desktop", "tablet"])),
        "returning": bool(rng.integers(2)),
        "scroll": round(float(rng.random()), 4),
    }
    candidates = [
        {"id": f"action-{k}", "features": {f"f{i}": value for i, value in enumerate(row)}}
        for k, row in enumerate(values.tolist())
    ]
    return msgspec.json.encode({"context": context, "actions": candidates}).decode()
