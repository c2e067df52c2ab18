"""Nested JSON to flat numeric features: the one reading of a context or an action, for serving and for learning.

| JSON                 | features                                   |
|----------------------|--------------------------------------------|
| number 3.5 at `a`    | `a` = 3.5                                  |
| true / false at `a`  | `a` = 1 / 0                                |
| string "x" at `a`    | `a=x` = 1                                  |
| [0.1, 0.2] at `a`    | `a[0]` = 0.1, `a[1]` = 0.2                 |
| {"b": ...} at `a`    | the features of the inside, named `a.b...` |
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from store.errors import InvalidInput
from store.records import LARGEST

MAX_FEATURES = 10_000
MAX_DEPTH = 64
NUMBERS = frozenset({int, float})
"""The types that are numbers to us; a boolean is not, although Python says so."""


def flatten(features: dict[str, Any], *, what: str) -> dict[str, float]:
    """Flatten nested features into name -> value; features that are flat numbers are returned as they are.

    Args:
        features: nested JSON of numbers, strings, booleans and numeric lists.
        what: whose features these are, for the error message.

    Raises:
        InvalidInput: for null, a number that is not finite or beyond 1e15, a list that is not numeric, two features
            of one name, or more than 10,000 features.

    """
    if "" in features:
        raise InvalidInput(f"{what}: a feature has an empty name: give it one")
    if _is_flat(features):
        return features
    flat: dict[str, float] = {}
    try:
        count = _flatten(features, "", flat)
    except InvalidInput as error:
        raise InvalidInput(f"{what}: {error}") from None
    if count != len(flat):
        raise InvalidInput(
            f"{what}: two features have the same flat name, such as 'a.b' and 'b' inside 'a': rename one"
        )
    if count > MAX_FEATURES:
        raise InvalidInput(f"{what} has {count} features; at most {MAX_FEATURES} are allowed: leave some out")
    return flat


def _is_flat(features: dict[str, Any]) -> bool:
    """Say whether these are flat numbers in range, which most actions' features are, without a loop of our own."""
    if not features:
        return True
    values = features.values()
    if len(features) > MAX_FEATURES or not NUMBERS.issuperset(map(type, values)):
        return False
    # A NaN hides from min and max behind other numbers, but not from a sum.
    return min(values) >= -LARGEST and max(values) <= LARGEST and not math.isnan(sum(values))


def _flatten(features: Mapping[str, Any], prefix: str, flat: dict[str, float], depth: int = 0) -> int:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{prefix[:40]!r}… is nested more than {MAX_DEPTH} deep: flatten it")
    count = 0
    for key, value in features.items():
        name = prefix + key
        kind = type(value)
        if kind is float or kind is int:
            if not -LARGEST <= value <= LARGEST:
                raise InvalidInput(_not_finite(name, value))
            flat[name] = value
            count += 1
        else:
            count += _flatten_other(name, value, flat, depth)
    return count


def _flatten_other(name: str, value: object, flat: dict[str, float], depth: int) -> int:
    if isinstance(value, str):
        flat[f"{name}={value}"] = 1.0
        return 1
    if isinstance(value, bool):
        flat[name] = float(value)
        return 1
    if isinstance(value, Mapping):
        return _flatten(value, f"{name}.", flat, depth + 1)
    if isinstance(value, list):
        return _flatten_list(name, value, flat)
    raise InvalidInput(
        f"{name!r} is {value!r}; a feature is a number, string, boolean, numeric list or object: leave it out"
    )


def _flatten_list(name: str, values: Sequence[object], flat: dict[str, float]) -> int:
    for value in values:
        if type(value) not in (float, int):
            raise InvalidInput(
                f"{name!r} contains {value!r}; a list of features holds numbers only: use an object instead"
            )
        if not -LARGEST <= value <= LARGEST:  # type: ignore[operator]  # the line above leaves float and int
            raise InvalidInput(_not_finite(name, value))
    flat.update(zip(_list_names(name, len(values)), values, strict=True))  # type: ignore[arg-type]  # checked above
    return len(values)


@functools.lru_cache(maxsize=1024)
def _list_names(name: str, length: int) -> tuple[str, ...]:
    return tuple(f"{name}[{i}]" for i in range(length))


def _not_finite(name: str, value: object) -> str:
    rule = "is not finite" if isinstance(value, float) and not math.isfinite(value) else "is beyond 1e15"
    return f"{name!r} is {value!r}, which {rule}: rescale it or leave it out"
