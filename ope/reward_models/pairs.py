"""Features of (row, action) pairs, as hashed names and values: what a model is fitted on, before it has columns.

Of a pair: the context's features, the action's id, the action's features and, for models that add their inputs up, the
context's features once more for the action's id alone. Names are read as the service reads them
(`store.features.flatten`) and hashed to 64 bits (Weinberger, Dasgupta, Langford, Smola and Attenberg 2009), so that
nothing has to be remembered from row to row.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils import murmurhash3_32

from store.features.flatten import flatten

Floats: TypeAlias = npt.NDArray[np.float64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Counts: TypeAlias = npt.NDArray[np.int64]

_ODD, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Features of one thing: hashed names and values, shape (k,)."""

    names: Hashes
    values: Floats


NOTHING = Named(np.empty(0, np.uint64), np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Features of m pairs: those of pair i are entries ends[i] − lengths[i] to ends[i], shape of `lengths` (m,)."""

    lengths: Counts
    names: Hashes
    values: Floats

    def __len__(self) -> int:
        return len(self.lengths)

    def each(self) -> list[Named]:
        """Return the features of each pair."""
        cuts = np.cumsum(self.lengths)[:-1]
        parts = zip(np.split(self.names, cuts), np.split(self.values, cuts), strict=True)
        return [Named(names.copy(), values.copy()) for names, values in parts] if len(self) else []

    def taken(self, keep: npt.NDArray[np.bool_]) -> "Pairs":
        """Return the pairs that are marked."""
        entries = np.repeat(keep, self.lengths)
        return Pairs(self.lengths[keep], self.names[entries], self.values[entries])


@functools.lru_cache(maxsize=2**17)
def hashed(name: str) -> int:
    """Return the name as 64 bits, the same on every machine."""
    text = name.encode("utf-8", "surrogatepass")
    return (int(murmurhash3_32(text, 0, positive=True)) << 32) | int(murmurhash3_32(text, 1, positive=True))


def named(features: dict[str, Any], *, prefix: str, what: str) -> Named:
    """Return nested features flat and hashed; raises InvalidInput for what is no feature."""
    flat = flatten(features, what=what)
    names = np.fromiter((hashed(prefix + name) for name in flat), np.uint64, len(flat))
    return Named(names, np.fromiter(flat.values(), np.float64, len(flat)))


def joined(parts: Iterable[Named]) -> Pairs:
    """Return one pair for each of the parts."""
    parts = list(parts) or [NOTHING]
    lengths = np.fromiter((len(part.names) for part in parts), np.int64, len(parts))
    names, values = (np.concatenate([getattr(part, key) for part in parts]) for key in ("names", "values"))
    return Pairs(lengths, names, values)


def paired(
    contexts: Sequence[Named], tables: Sequence[Mapping[str, Named]], ids: Sequence[Sequence[str]], *, crossed: bool
) -> Pairs:
    """Return the features of each row's actions, row after row, for rows with a context and a table of action features.

    With `crossed` they have the context once more for each action id.
    """
    per_row = np.fromiter((len(one) for one in ids), np.int64, len(ids))
    if not per_row.sum():
        return Pairs(np.empty(0, np.int64), NOTHING.names, NOTHING.values)
    row_of = np.repeat(np.arange(len(ids)), per_row)
    own = np.fromiter((hashed(f"a={name}") for one in ids for name in one), np.uint64, len(row_of))
    actions = joined(table.get(name, NOTHING) for table, one in zip(tables, ids, strict=True) for name in one)
    context = _repeated(joined(contexts), row_of)
    blocks = [context, Pairs(np.ones(len(own), np.int64), own, np.ones(len(own))), actions]
    if crossed:
        blocks.append(Pairs(context.lengths, _crossed(context.names, np.repeat(own, context.lengths)), context.values))
    return _side_by_side(blocks)


def _crossed(names: Hashes, ids: Hashes) -> Hashes:
    # Neither commutes nor cancels, as a plain exclusive or would do.
    mixed = (names ^ (ids * _ODD)) * _ODD
    return mixed ^ (mixed >> _SHIFT)


def _repeated(pairs: Pairs, which: Counts) -> Pairs:
    starts, lengths = (np.cumsum(pairs.lengths) - pairs.lengths)[which], pairs.lengths[which]
    entries = _ranges(starts, lengths)
    return Pairs(lengths, pairs.names[entries], pairs.values[entries])


def _ranges(starts: Counts, lengths: Counts) -> Counts:
    """Return start, start + 1, … of each range, one range after the other."""
    before = np.cumsum(lengths) - lengths
    found: Counts = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - before, lengths)
    return found


def _side_by_side(blocks: Sequence[Pairs]) -> Pairs:
    lengths = sum((block.lengths for block in blocks[1:]), blocks[0].lengths)
    start = np.cumsum(lengths) - lengths
    names, values = np.empty(int(lengths.sum()), np.uint64), np.empty(int(lengths.sum()))
    for block in blocks:
        places = _ranges(start, block.lengths)
        names[places], values[places] = block.names, block.values
        start = start + block.lengths
    return Pairs(lengths, names, values)
