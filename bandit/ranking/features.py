"""A feature of an action, as it was sent."""

from collections.abc import Mapping
from typing import Any


def feature_of(features: Mapping[str, Any], path: str) -> object:
    """Return the feature at a dotted path, by its whole name or through the objects on the way; None without it."""
    if path in features:
        return features[path]
    head, dot, rest = path.partition(".")
    inner = features.get(head) if dot else None
    return feature_of(inner, rest) if isinstance(inner, Mapping) else None


def same(one: object, other: object) -> bool:
    """Say whether two values are equal to JSON: 2 is 2.0, and 1 is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def key_of(value: object) -> tuple[bool, object] | None:
    """Return what tells a value from others, or None for what is no single value: nothing, a list, an object."""
    return (isinstance(value, bool), value) if isinstance(value, str | bool | int | float) else None
