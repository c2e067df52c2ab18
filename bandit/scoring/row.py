"""A row of an exported log as a decision's request, read in one place."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from bandit.decide import MAX_TOP_N, DecisionRequest
from bandit.learn.logged_past import LoggedPast
from store.errors import HoneyguideError, InvalidInput
from store.records import Action, Slot

READS = (
    *(
        "decision_id",
        "at",
        "context",
        "actions",
        "distribution",
        "ranking",
        "action",
        "propensity",
        "reward",
        "outcome",
    ),
    *("slot_rewards", "model_version", "loop", "top_n", "guard_state", "new_actions"),
    *("outcome_at", "outcome_position", "first_outcome"),
)
"""The columns that scoring looks at where the log has them."""
NEEDED = ("context", "actions", "action")

_actions = msgspec.json.Decoder(list[Action]).decode
_context = msgspec.json.Decoder(dict[str, Any]).decode
_state = msgspec.json.Decoder(dict[str, float]).decode


class Row(msgspec.Struct, frozen=True):
    """A logged decision as another policy would meet it.

    `ids` are the eligible actions in canonical order and `places` where each stands in the logged distribution.
    `position` is that of the state that decided, and `line` its line, where the log says. Times are microseconds since
    1970-01-01 UTC.
    """

    decision_id: str
    at: int | None
    request: DecisionRequest
    body: bytes
    ids: list[str]
    places: Mapping[str, int]
    propensities: list[float]
    ranking: list[Slot]
    state: Mapping[str, float] | None
    past: LoggedPast
    loop: str | None
    line: str | None
    position: int | None
    reward: float | None
    slot_rewards: list[float] | None
    outcome: str | None
    outcome_at: int | None
    outcome_position: int | None
    first_outcome: int | None

    @property
    def action(self) -> str:
        """The logged action."""
        return self.ranking[0].action


def read_row(row: Mapping[str, Any], number: int) -> Row:
    """Return a row, named by `number`, the place in the log, where it has no id; raises `InvalidInput`."""
    context, sent = _decoded("context", row, _context), _decoded("actions", row, _actions)
    logged = row.get("distribution")
    ids = [action.id for action in sent] if logged is None else [pair["action"] for pair in logged]
    _check_ids(ids, sent)
    eligible = set(ids)
    state = None if row.get("guard_state") is None else _decoded("guard_state", row, _state)
    line, position = _version(row.get("model_version"))
    ranking = _ranking(row, eligible)
    return Row(
        decision_id=row.get("decision_id") or f"row {number}",
        at=_microseconds(row.get("at")),
        request=DecisionRequest(
            actions=sent,
            context=context,
            # A short ranking was asked for more: what is pinned below its end was kept from its first slot too.
            top_n=min(row.get("top_n") or len(ranking), MAX_TOP_N),
            exclude=[action.id for action in sent if action.id not in eligible],
        ),
        body=b'{"context":%b,"actions":%b}' % (row["context"].encode(), row["actions"].encode()),
        ids=sorted(ids),
        places={name: place for place, name in enumerate(sorted(ids) if logged is None else ids)},
        propensities=[]
        if logged is None
        else [pair["propensity"] for pair in sorted(logged, key=lambda p: p["action"])],
        ranking=ranking,
        state=state,
        past=LoggedPast(state or {}, frozenset(row.get("new_actions") or ())),
        loop=row.get("loop"),
        line=line,
        position=position,
        reward=row.get("reward"),
        slot_rewards=row.get("slot_rewards"),
        outcome=row.get("outcome"),
        outcome_at=_microseconds(row.get("outcome_at")),
        outcome_position=row.get("outcome_position"),
        first_outcome=row.get("first_outcome"),
    )


def _decoded(name: str, row: Mapping[str, Any], decode: Any) -> Any:  # noqa: ANN401  # one of the decoders above
    text = row.get(name)
    if text is None:
        raise InvalidInput(
            f"{name} is null; a policy decides on the features as logged. Log them, or leave the row out"
        )
    try:
        return decode(text)
    except (msgspec.DecodeError, HoneyguideError) as error:
        raise InvalidInput(
            f"{name} is {text[:60]!r}, which is not the JSON of a request ({error}). Export it again"
        ) from None


def _check_ids(ids: list[str], sent: list[Action]) -> None:
    known = {action.id for action in sent}
    if len(known) < len(sent) or len(set(ids)) < len(ids):
        raise InvalidInput("an action id stands twice; send each action once")
    unknown = next((name for name in ids if name not in known), None)
    if not ids or unknown is not None:
        raise InvalidInput(f"the distribution has {unknown!r}, which is not among the actions; log both as they were")


def _ranking(row: Mapping[str, Any], eligible: set[str]) -> list[Slot]:
    action = None if row.get("action") is None else str(row["action"])
    if action not in eligible:
        raise InvalidInput(f"action is {action!r}, which was not eligible; log the action that was chosen")
    logged = row.get("ranking")
    if not logged:
        return [Slot(action, _number(row.get("propensity")), explored=False)]
    return [Slot(slot["action"], _number(slot["propensity"]), explored=False) for slot in logged]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0  # what is none is refused by the rule for it


def _version(said: str | None) -> tuple[str | None, int | None]:
    line, _, position = (said or "").rpartition("@")
    return (line, int(position)) if line and position.isdecimal() else (None, None)


def _microseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000)
