"""Model states as data: named arrays and one JSON header in the safetensors format, never pickle."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from store.errors import InvalidInput

FORMAT = 1
_HEADER = "header"


def pack(kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Serialise a state; equal states give equal bytes.

    The header is a tensor of its JSON bytes: safetensors' own metadata has no fixed order.
    """
    content = msgspec.json.encode({"format": FORMAT, "kind": kind, **header}, order="deterministic")
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save({**tensors, _HEADER: np.frombuffer(content, dtype=np.uint8)})


def unpack(kind: str, state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `pack` wrote, as (header, arrays).

    Raises:
        InvalidInput: for bytes that are damaged, of another kind of policy, or of a newer format.

    """
    try:
        arrays = load(state)
        header = msgspec.json.decode(arrays.pop(_HEADER).tobytes())
    except (SafetensorError, KeyError, msgspec.DecodeError) as error:
        raise InvalidInput(f"model state is damaged ({error!r}): use an older checkpoint") from error
    found = (header.pop("format"), header.pop("kind"))
    if found != (FORMAT, kind):
        raise InvalidInput(f"model state is of (format, kind) {found}; this program reads {(FORMAT, kind)}")
    return header, arrays


def digest(state: bytes) -> str:
    """Return the SHA-256 of a state, in hexadecimal."""
    return hashlib.sha256(state).hexdigest()
