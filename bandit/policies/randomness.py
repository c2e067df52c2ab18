"""All randomness of a decision: HMAC-SHA256 of what identifies it, keyed by the loop's secret.

The same decision id, model version and purpose give the same numbers, on every server and in every replay; without the
secret nobody can tell them in advance.
"""

import hmac
from typing import Literal, TypeAlias

import numpy as np

Purpose: TypeAlias = Literal["draws", "sample"]


def _digest(secret: bytes, decision_id: str, model_version: str, purpose: str) -> bytes:
    # The separator cannot be part of a model version or purpose, and a decision id comes last: no two inputs collide.
    return hmac.digest(secret, f"{purpose}\x1f{model_version}\x1f{decision_id}".encode(), "sha256")


def generator(secret: bytes, decision_id: str, model_version: str) -> np.random.Generator:
    """Return the generator of the frozen posterior draws (Philox-4x64, keyed by 128 bits of the HMAC)."""
    digest = _digest(secret, decision_id, model_version, "draws")
    key = np.frombuffer(digest, dtype="<u8", count=2)
    return np.random.Generator(np.random.Philox(key=key))


def uniform(secret: bytes, decision_id: str, model_version: str, slot: int) -> float:
    """Return the number in [0, 1) that a slot's action is sampled with: 53 bits of the HMAC."""
    digest = _digest(secret, decision_id, model_version, f"sample/{slot}")
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
