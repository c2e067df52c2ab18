"""Writes decisions as Vowpal Wabbit's DSJSON, as `ope.formats.dsjson` reads it."""

import math
from typing import Any

import msgspec

from ope.formats.asides import Row, Unreadable
from ope.formats.dsjson import AS_ONE, contradicts
from ope.formats.listed import Listed, json_object, listed

CARRIED = frozenset(
    {
        "decision_id", "at", "context", "actions", "distribution", "action", "propensity", "reward", "model_version",
        "n_actions", "row_weight",
    }
)  # fmt: skip
NEEDED = (("action",), ("propensity",), ("reward",), ("distribution", "actions"))
PARTLY = {"actions": "only those in the distribution, in its order", "context": "`_multi` is DSJSON's own key"}


def line(row: Row) -> bytes:
    """Return a decision as one line; raises Unreadable where DSJSON cannot say it."""
    actions = listed(row)
    label = {
        "_label_cost": 0.0 - row["reward"],
        "_label_probability": row["propensity"],
        "_label_Action": actions.chosen + 1,
        "_labelIndex": actions.chosen,
    }
    said = label | _about(row) | {"a": _ranked(actions), "c": _context(row, actions)} | _spread(row, actions)
    return msgspec.json.encode(said | _weight(row)) + b"\n"


def _about(row: Row) -> dict[str, Any]:
    at, event, model = row.get("at"), row.get("decision_id"), row.get("model_version")
    return {
        **({} if at is None else {"Timestamp": at.isoformat().replace("+00:00", "Z")}),
        "Version": "1",
        **({} if event is None else {"EventId": event}),
        **({} if model is None else {"VWState": {"m": model}}),
    }


def _order(actions: Listed) -> list[int]:
    """Return the places by rank: the chosen action, then the others, the likeliest first."""
    others = [place for place in range(len(actions.ids)) if place != actions.chosen]
    chances = actions.chances
    return [actions.chosen, *(others if chances is None else sorted(others, key=lambda place: -chances[place]))]


def _ranked(actions: Listed) -> list[int]:
    return [place + 1 for place in _order(actions)]


def _spread(row: Row, actions: Listed) -> dict[str, Any]:
    if actions.chances is None:
        return {}
    listed_as = actions.chances[actions.chosen]
    if contradicts(row["propensity"], listed_as):
        raise Unreadable(f"propensity is {row['propensity']}, the distribution says {listed_as}", AS_ONE)
    return {"p": [actions.chances[place] for place in _order(actions)]}


def _context(row: Row, actions: Listed) -> dict[str, Any]:
    context = json_object(row.get("context"), "context")
    if "_multi" in context:
        raise Unreadable("the context has a key `_multi`", "DSJSON keeps the actions under it")
    places = [str(place) for place in range(1, len(actions.ids) + 1)]
    tags = [{} if actions.ids == places else {"_tag": i} for i in actions.ids]
    multi = [features | tag for features, tag in zip(actions.features, tags, strict=True)]
    said = {one["_tag"] for one in multi if "_tag" in one}
    if actions.ids == places and len(said) == len(multi):
        raise Unreadable("each action has a feature `_tag`", "DSJSON takes tags that differ for the actions' ids")
    return context | {"_multi": multi}


def _weight(row: Row) -> dict[str, float]:
    weight = row.get("row_weight")
    if weight is None or weight == 1:
        return {}
    if not (weight > 1 and math.isfinite(weight)):
        raise Unreadable(f"row_weight is {weight}", "pdrop can say that a row stands for 1 decision or for more")
    return {"pdrop": 1 - 1 / weight}
