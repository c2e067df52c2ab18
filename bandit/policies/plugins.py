"""Policies that other packages bring: found by the entry points `honeyguide.policies`, loaded when asked for."""

import functools
import inspect
from importlib.metadata import EntryPoint, entry_points

import msgspec

from bandit.policies.base import Policy
from store.errors import InvalidInput

GROUP = "honeyguide.policies"

_CALLS: dict[str, tuple[int, tuple[str, ...]]] = {
    "create": (1, ("decay",)),
    "load": (2, ("decay",)),
    "dump": (0, ()),
    "believe": (2, ()),
    "learn": (5, ()),
    "correct": (5, ()),
}
"""How each method of a policy is called: how many arguments by place, and which by name."""


def kinds() -> list[str]:
    """Return the kinds that installed packages bring, sorted."""
    return sorted(point.name for point in entry_points(group=GROUP))


@functools.lru_cache(maxsize=64)
def find(kind: str) -> type[Policy] | None:
    """Return the class that an installed package brings for this kind, or None.

    Raises:
        InvalidInput: where it cannot be loaded, is not a policy, or two packages bring the same kind.

    """
    points = tuple(entry_points(group=GROUP, name=kind))
    if len(points) > 1:
        brought = ", ".join(sorted(point.value for point in points))
        raise InvalidInput(f"policy.kind {kind!r} is brought by {brought}: uninstall all but one")
    return _load(points[0]) if points else None


def _load(point: EntryPoint) -> type[Policy]:
    try:
        found = point.load()
    except Exception as error:  # whatever the other package raises when it is imported
        raise InvalidInput(
            f"policy.kind {point.name!r} is {point.value}, which cannot be loaded ({error!r}): mend or uninstall it"
        ) from error
    wrong = _wrong(found, point.name)
    if wrong:
        raise InvalidInput(
            f"policy.kind {point.name!r} is {point.value}, which is not a policy: {'; '.join(wrong)}. "
            "What a policy has is in `bandit.policies.base.Policy`"
        )
    made: type[Policy] = found
    return made


def _wrong(found: object, name: str) -> list[str]:
    if not isinstance(found, type):
        return [f"it is {found!r}, not a class"]
    wrong = []
    if getattr(found, "kind", None) != name:
        wrong.append(f"its `kind` is {getattr(found, 'kind', None)!r}, not the entry point's name")
    config = getattr(found, "config_type", None)
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct) and config.__struct_config__.frozen):
        wrong.append("its `config_type` is not a frozen msgspec.Struct")
    flags = [flag for flag in ("forgets", "corrects") if not isinstance(getattr(found, flag, None), bool)]
    wrong += [f"its `{flag}` is not True or False" for flag in flags]
    return wrong + [method for name, call in _CALLS.items() if (method := _uncallable(found, name, *call))]


def _uncallable(found: type, name: str, places: int, names: tuple[str, ...]) -> str:
    method = getattr(found, name, None)
    if not callable(method):
        return f"it has no method `{name}`"
    # A method that is looked up in the class still wants its `self`.
    own = 0 if inspect.ismethod(method) else 1
    try:
        inspect.signature(method).bind(*[None] * (places + own), **dict.fromkeys(names))
    except (TypeError, ValueError) as error:
        return f"`{name}` cannot be called as the protocol says ({error})"
    return ""
