"""Writes decisions as Vowpal Wabbit's contextual-bandit text, as `ope.formats.vw_text` reads it."""

import re
from collections.abc import Iterator
from typing import Any

from ope.formats.asides import Row, Unreadable
from ope.formats.listed import checked, json_object, listed

CB_CARRIED = frozenset({"context", "action", "propensity", "reward"})
ADF_CARRIED = CB_CARRIED | {"actions", "n_actions"}
CB_NEEDED = (("action",), ("propensity",), ("reward",))
ADF_NEEDED = (*CB_NEEDED, ("distribution", "actions", "n_actions"))
_FLAT = "as flat features: name:number, and name=text; a space, : or | in a name becomes _"
CB_PARTLY = {"context": _FLAT}
ADF_PARTLY = {
    "context": _FLAT,
    "actions": f"{_FLAT}; an action is known by its place",
    "action": "as its place among the actions, from 1",
}

_ENDS_A_NAME = re.compile(r"[\s:|]")


def cb_line(row: Row) -> bytes:
    """Return a decision as one line; raises Unreadable where its action is no whole number."""
    checked(row)
    action = row["action"]
    if not (action.isascii() and action.isdigit()):
        raise Unreadable(f"action is {action!r}", "vw-cb knows actions by number; write ids as vw-cb-adf")
    return f"{_label(action, row)} {_features(json_object(row.get('context'), 'context'))}\n".encode()


def adf_block(row: Row) -> bytes:
    """Return a decision as a block of lines that ends in a blank one."""
    actions = listed(row)
    lines = [f"shared {_features(json_object(row.get('context'), 'context'))}"]
    for place, features in enumerate(actions.features):
        label = f"{_label('0', row)} " if place == actions.chosen else ""
        lines.append(label + _features(features))
    return "\n".join([*lines, "", ""]).encode()


def _label(action: str, row: Row) -> str:
    return f"{action}:{0.0 - row['reward']!r}:{row['propensity']!r}"


def _features(value: dict[str, Any]) -> str:
    """Return the features by namespace; what stands in none goes to the nameless one."""
    spaces: dict[str, list[str]] = {}
    for key, inner in value.items():
        nested = isinstance(inner, dict | list)
        name = "" if key == " " or not nested else _name(key)
        spaces.setdefault(name, []).extend(_words(inner, "" if nested else key))
    return " ".join(f"|{' '.join([name, *words])}" for name, words in spaces.items()) or "|"


def _words(value: object, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _words(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _words(inner, f"{name}.{place}" if name else str(place))
    elif isinstance(value, str):
        yield _name(f"{name}={value}")
    elif value is not None:
        yield f"{_name(name)}:{float(value)!r}"  # type: ignore[arg-type]  # JSON has nothing else: a number or a boolean


def _name(text: str) -> str:
    return _ENDS_A_NAME.sub("_", text) or "_"
