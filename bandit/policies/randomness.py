"""All randomness of a decision: HMAC-SHA256 of what identifies it, keyed by the loop's secret.

The same decision id, model version and purpose give the same numbers, on every server and in every replay; without the
secret nobody can tell them in advance.
"""

import functools
import hmac
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Purpose: TypeAlias = Literal["draws", "sample"]


def _digest(secret: bytes, decision_id: str, model_version: str, purpose: str) -> bytes:
    # The separator cannot be part of a model version or purpose, and a decision id comes last: no two inputs collide.
    keyed = _keyed(secret).copy()
    keyed.update(f"{purpose}\x1f{model_version}\x1f{decision_id}".encode())
    return keyed.digest()


@functools.lru_cache(maxsize=1024)
def _keyed(secret: bytes) -> hmac.HMAC:
    """Return the HMAC that has taken in the secret and nothing else; a loop's key is prepared once, not each time."""
    return hmac.new(secret, digestmod="sha256")


class _Words(np.random.bit_generator.ISeedSequence):
    """The words of a digest as a seed: an HMAC needs none of the mixing that a seed sequence adds, and costs less."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, dtype="<u8")

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> NDArray[np.uint64]:  # noqa: ARG002  # its signature
        """Return the first words; the generator below asks for three of 64 bits."""
        return self._words[:n_words]


def generator(secret: bytes, decision_id: str, model_version: str) -> np.random.Generator:
    """Return the generator of the frozen posterior draws (SFC64, seeded with 192 bits of the HMAC)."""
    words = _Words(_digest(secret, decision_id, model_version, "draws"))
    return np.random.Generator(np.random.SFC64(words))  # type: ignore[arg-type]  # numpy takes any ISeedSequence


def uniform(secret: bytes, decision_id: str, model_version: str, slot: int) -> float:
    """Return the number in [0, 1) that a slot's action is sampled with: 53 bits of the HMAC."""
    digest = _digest(secret, decision_id, model_version, f"sample/{slot}")
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
