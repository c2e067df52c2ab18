"""Model states as bytes."""

import numpy as np
import pytest

from store.errors import InvalidInput
from store.registry.statefile import digest, pack, unpack


def test_round_trip_is_exact_and_equal_states_are_equal_bytes() -> None:
    """Arrays come back bit for bit, and the bytes do not depend on the order of names."""
    arrays = {"b": np.array([[0.1, np.nextafter(1, 2)]]), "a": np.arange(3)}
    state = pack("k", {"x": [1], "y": "é"}, arrays)
    header, found = unpack("k", state)
    assert header == {"x": [1], "y": "é"}
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert pack("k", {"y": "é", "x": [1]}, dict(reversed(arrays.items()))) == state
    assert digest(state) == digest(bytes(state))


def test_what_is_not_a_state_is_refused() -> None:
    """Damaged bytes, another kind and a newer format are refused, never guessed at."""
    state = pack("k", {}, {"a": np.arange(3)})
    for damaged in (b"", b"pickle", state[:20], state[:-3]):
        with pytest.raises(InvalidInput, match="damaged"):
            unpack("k", damaged)
    with pytest.raises(InvalidInput, match="this program reads"):
        unpack("other", state)
