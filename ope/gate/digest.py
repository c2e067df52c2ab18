"""What names the decisions that were folded: a digest of their ids, times, weights and rewards in their order."""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ope.gate.rows import Part


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@dataclass(slots=True)
class Digest:
    """A running digest; the same for the same decisions, however they are cut into parts."""

    ids: _Hash = field(default_factory=hashlib.sha256)
    numbers: _Hash = field(default_factory=hashlib.sha256)

    def update(self, part: Part) -> None:
        """Take in more decisions."""
        self.ids.update("".join(f"{one}\0" for one in part.ids).encode())
        columns = [part.at, *(column.view(np.int64) for column in (part.w, part.v, part.r))]
        self.numbers.update(np.ascontiguousarray(np.stack(columns, axis=1)).tobytes())

    def hex(self) -> str:
        """Return the digest of all so far."""
        return hashlib.sha256(self.ids.digest() + self.numbers.digest()).hexdigest()
