"""Hashes of ids: which fold a decision is in, and which decisions are learned from where there are too many."""

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]

FOLD, SAMPLE = b"fold", b"sample"


def hashes(ids: Iterable[str], *, purpose: bytes, seed: int) -> Hashes:
    """Return 64 bits for each id, shape (m,): equal for equal ids, on every machine, and else as if at random."""
    key = seed.to_bytes(8, "little")
    digests = (
        hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8, key=key, person=purpose).digest()
        for one in ids
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def folds_of(ids: Iterable[str], *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each id, from 0, shape (m,)."""
    return (hashes(ids, purpose=FOLD, seed=seed) % np.uint64(folds)).astype(np.int64)
