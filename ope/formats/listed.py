"""What a decision says of its actions, one by one, for formats that write them out."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from ope.formats.asides import Row, Unreadable, excerpt
from ope.rules import ROUNDING


@dataclass(frozen=True, slots=True)
class Listed:
    """The actions that could be chosen: ids, features and probabilities; None where these were not logged.

    `chosen` is the place of the one that was.
    """

    ids: list[str]
    features: list[dict[str, Any]]
    chances: list[float] | None
    chosen: int


class _Action(msgspec.Struct):
    id: str
    features: dict[str, Any] = msgspec.field(default_factory=dict)


_ACTIONS = msgspec.json.Decoder(list[_Action])
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def listed(row: Row) -> Listed:
    """Return a decision's actions, by its distribution or else by `actions` or `n_actions`.

    Raises Unreadable where they are not there, not one each, or the chosen one is none of them.
    """
    checked(row)
    features = _features(row.get("actions"))
    spread = row.get("distribution")
    ids = [one["action"] for one in spread] if spread is not None else _ids(row, features)
    if len(set(ids)) != len(ids):
        raise Unreadable(f"the actions are {ids}", "an action stands in a decision once")
    if row["action"] not in ids:
        raise Unreadable(f"action is {row['action']!r}, the actions are {ids}", "one of them was chosen")
    chances = None if spread is None else [one["propensity"] for one in spread]
    return Listed(ids, [features.get(i, {}) for i in ids], chances, ids.index(row["action"]))


def checked(row: Row) -> None:
    """Raise Unreadable unless the row has an action, a propensity and a reward that every format can say."""
    action, propensity, reward = row.get("action"), row.get("propensity"), row.get("reward")
    if action is None:
        raise Unreadable("action is None", "a decision names the action that was chosen")
    if propensity is None or not 0 < propensity <= 1 + ROUNDING:
        raise Unreadable(f"propensity is {propensity}", "the logged action's propensity is above 0 and at most 1")
    if reward is None or not math.isfinite(reward):
        raise Unreadable(f"reward is {reward}", "a reward is a finite number; unsettled decisions have none")


def json_object(text: str | None, column: str) -> dict[str, Any]:
    """Return a column of JSON text as an object, {} where it is null; raises Unreadable for anything else."""
    if text is None:
        return {}
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"{column} is {excerpt(text)}", "it is a JSON object, as text") from error


def _features(text: str | None) -> dict[str, dict[str, Any]]:
    if text is None:
        return {}
    try:
        return {action.id: action.features for action in _ACTIONS.decode(text)}
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"actions is {excerpt(text)} ({error})", "it is a list of {id, features}, as text") from error


def _ids(row: Row, features: dict[str, Any]) -> list[str]:
    n = row.get("n_actions")
    ids = list(features) or [str(place) for place in range(1, (n or 0) + 1)]
    if not ids:
        raise Unreadable(
            "there is no distribution, actions or n_actions", "each action that could be chosen is written"
        )
    return ids
