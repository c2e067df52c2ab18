"""Reads Vowpal Wabbit's DSJSON, the joined log of its decision service: one decision in a line.

`_label_cost` is the negative reward of the action in `_label_Action`, which counts from 1, chosen with
`_label_probability`. `a` lists the actions by rank, from 1; `p` follows `a`, so `p[k]` is the probability of action
`a[k]` and not of action k. A line of several slots (CCB) has `_outcomes` instead, whose `_a` count from 0 and whose
first is the one shown. `pdrop` is the probability with which such a line was left out of the log (VW divides its weight
by 1 - pdrop). Where a list `a` holds a 0 it counts from 0: some converters write it so.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from ope.formats.asides import Aside, NoDecision, Row, Unreadable, excerpt
from ope.formats.columns import LINE, ROW_WEIGHT
from ope.formats.lines import Line

COLUMNS = (
    "decision_id", "at", "context", "actions", "distribution", "ranking", "pscore", "pscore_cascade", "slot_rewards",
    "action", "propensity", "reward", "outcome", "model_version", "n_actions", ROW_WEIGHT, LINE,
)  # fmt: skip
"""What a line is read into."""

NOT_SHOWN = "the decision was never shown (`_skipLearn` or `_deferred`), so it has no reward"
DANGLING = "a reward whose decision is not in the log (`RewardValue`)"
CHECKPOINT = "a checkpoint's header, no decision"
BLANK = "blank"
AS_ONE = "the chosen action has one probability, in its label and in the distribution"

_JSON = "a line is one JSON object of DSJSON's keys and types"
_NONE = msgspec.Raw(b"")
_TOLERANCE = 1e-3
"""How far the label's probability and the one in `p` may differ, relatively: some writers round to six decimals."""


class _Action(msgspec.Struct):
    tag: str | None = msgspec.field(default=None, name="_tag")


class _Context(msgspec.Struct):
    multi: list[_Action] = msgspec.field(name="_multi")


class _Outcome(msgspec.Struct):
    cost: float | None = msgspec.field(default=None, name="_label_cost")
    a: int | list[int] | None = msgspec.field(default=None, name="_a")
    p: float | list[float] | None = msgspec.field(default=None, name="_p")


class _State(msgspec.Struct):
    m: str | None = None


class _Line(msgspec.Struct):
    cost: float | None = msgspec.field(default=None, name="_label_cost")
    probability: float | None = msgspec.field(default=None, name="_label_probability")
    action: int | None = msgspec.field(default=None, name="_label_Action")
    index: int | None = msgspec.field(default=None, name="_labelIndex")
    continuous: msgspec.Raw = msgspec.field(default=_NONE, name="_label_ca")
    outcomes: list[_Outcome] | None = msgspec.field(default=None, name="_outcomes")
    skip: bool = msgspec.field(default=False, name="_skipLearn")
    deferred: bool = msgspec.field(default=False, name="_deferred")
    dangling: msgspec.Raw = msgspec.field(default=_NONE, name="RewardValue")
    timestamp: str | None = msgspec.field(default=None, name="Timestamp")
    event: str | None = msgspec.field(default=None, name="EventId")
    a: list[int] | None = None
    p: list[float] | None = None
    p_: list[float] | None = msgspec.field(default=None, name="_p")
    c: msgspec.Raw = _NONE
    pdrop: float | None = None
    state: _State | None = msgspec.field(default=None, name="VWState")


_LINE = msgspec.json.Decoder(_Line)
_CONTEXT = msgspec.json.Decoder(_Context)
_WHOLE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FEATURES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def read(lines: Iterable[Line], *, name: str, wanted: Sequence[str] = COLUMNS) -> Iterator[Row | Aside]:
    """Yield each line as a row of a log, or why it is none; `context` and `actions` are made only if `wanted`."""
    whole = not {"context", "actions"}.isdisjoint(wanted)
    for number, line in lines:
        try:
            yield _row(line, number, whole=whole)
        except Unreadable as error:
            yield error.at(name, number)


def _row(line: bytes, number: int, *, whole: bool) -> Row | Aside:
    if not line.strip():
        return NoDecision(BLANK)
    if line.startswith(b"["):
        return NoDecision(CHECKPOINT)
    said = _decoded(line)
    if said.skip or said.deferred:
        return NoDecision(NOT_SHOWN)
    if said.dangling and not said.c:
        return NoDecision(DANGLING)
    if said.continuous:
        raise Unreadable("the line has `_label_ca`", "a continuous action has a density, no probability; not read")
    ids = _ids(said)
    shown = _one_choice(said, ids) if said.outcomes is None else _slots(said, ids)
    features = _features(said, ids) if whole else {}
    return shown | features | _about(said) | {LINE: number}


def _decoded(line: bytes) -> _Line:
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"{excerpt(line)} ({error})", _JSON) from error


def _ids(said: _Line) -> list[str]:
    """Return the actions' ids: their tags where all have one and no two the same, else their places from 1."""
    if not said.c:
        raise Unreadable("there is no `c`", "a decision has a context `c` with its actions in `_multi`")
    try:
        actions = _CONTEXT.decode(said.c).multi
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"`c` is {excerpt(bytes(said.c))} ({error})", "its actions stand in `c._multi`") from error
    tags = {action.tag for action in actions if action.tag is not None}
    if len(tags) == len(actions):
        return [action.tag or "" for action in actions]
    return [str(place) for place in range(1, len(actions) + 1)]


def _about(said: _Line) -> Row:
    weight = 1.0
    if said.pdrop is not None:
        if not 0 <= said.pdrop < 1:
            raise Unreadable(f"pdrop is {said.pdrop}", "the probability of being left out is at least 0 and below 1")
        weight = 1 / (1 - said.pdrop)
    return {
        "decision_id": said.event,
        "at": None if said.timestamp is None else _time(said.timestamp),
        "outcome": "rewarded",
        "model_version": None if said.state is None else said.state.m,
        ROW_WEIGHT: weight,
    }


def _time(said: str) -> datetime:
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise Unreadable(f"Timestamp is {said!r}", "a time is written as in RFC 3339") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _one_choice(said: _Line, ids: list[str]) -> Row:
    ranked = None if said.a is None else _places(said.a, ids)
    chances = said.p if said.p_ is None else said.p_
    if ranked is not None and chances is not None and len(ranked) != len(chances):
        raise Unreadable(f"`a` has {len(ranked)} entries, `p` {len(chances)}", "`p` follows `a`, entry by entry")
    chosen = _chosen(said, ranked, ids)
    spread = None if ranked is None or chances is None else dict(zip(ranked, chances, strict=True))
    return {
        "action": ids[chosen],
        "propensity": _propensity(said.probability, spread, chosen),
        "reward": _reward(said.cost),
        "distribution": None if spread is None else _pairs(spread, ids),
        "n_actions": len(ids if ranked is None else ranked),
    }


def _places(a: list[int], ids: list[str]) -> list[int]:
    """Return the actions' places from 0."""
    first = 0 if 0 in a else 1
    if not a or len(set(a)) != len(a) or min(a) < 0 or max(a) - first >= len(ids):
        raise Unreadable(f"`a` is {a} for {len(ids)} actions", "`a` names each action by its place, from 1, once")
    return [action - first for action in a]


def _chosen(said: _Line, ranked: list[int] | None, ids: list[str]) -> int:
    labels = {said.index, None if said.action is None else said.action - 1} - {None}
    if len(labels) > 1:
        raise Unreadable(
            f"`_label_Action` is {said.action}, `_labelIndex` {said.index}",
            "they name one action, the first from 1 and the second from 0",
        )
    found = next(iter(labels), ranked[0] if ranked else None)
    if found is None or not 0 <= found < len(ids):
        raise Unreadable(f"the label names action {found} of {len(ids)}", "`_labelIndex` is a place in `c._multi`")
    return found


def _propensity(label: float | None, spread: dict[int, float] | None, chosen: int) -> float | None:
    listed = None if spread is None else spread.get(chosen, 0.0)
    if label is None or listed is None:
        return listed if label is None else label
    if contradicts(label, listed):
        raise Unreadable(
            f"`_label_probability` is {label}, `p` says {listed} of that action",
            f"`p` follows `a`; {AS_ONE}",
        )
    return label


def contradicts(label: float, listed: float) -> bool:
    """Say whether the propensity of the chosen action is not the one that the distribution has for it."""
    return not math.isclose(label, listed, rel_tol=_TOLERANCE, abs_tol=1e-6)


def _reward(cost: float | None) -> float | None:
    return None if cost is None else 0.0 - cost  # -0.0 would be a reward of minus nothing


def _pairs(spread: dict[int, float], ids: list[str]) -> list[Row]:
    return [{"action": ids[place], "propensity": spread[place]} for place in sorted(spread)]


def _slots(said: _Line, ids: list[str]) -> Row:
    """Return a CCB line as a ranking: each slot's action, chosen with its probability given the slots above."""
    if not said.outcomes:
        raise Unreadable("`_outcomes` is empty", "a line of several slots has one outcome for each")
    if any(one.cost is None for one in said.outcomes):
        raise Unreadable(
            "a slot of `_outcomes` has no `_label_cost`",
            "CCB rewards each slot; a line of slates, with one cost for all slots, is not read",
        )
    slots = [_slot(one, number, ids) for number, one in enumerate(said.outcomes, start=1)]
    shown = [ids[next(iter(spread))] for spread in slots]
    chances = [next(iter(spread.values())) for spread in slots]
    rewards = [_reward(one.cost) or 0.0 for one in said.outcomes]
    return {
        "action": shown[0],
        "propensity": chances[0],
        "reward": sum(rewards),
        "distribution": _pairs(slots[0], ids),
        "n_actions": len(slots[0]),
        "ranking": [{"action": a, "propensity": p} for a, p in zip(shown, chances, strict=True)],
        "pscore": math.prod(chances),
        "pscore_cascade": [math.prod(chances[: slot + 1]) for slot in range(len(chances))],
        "slot_rewards": rewards,
    }


def _slot(outcome: _Outcome, number: int, ids: list[str]) -> dict[int, float]:
    a = outcome.a if isinstance(outcome.a, list) else [outcome.a]
    p = outcome.p if isinstance(outcome.p, list) else [outcome.p]
    spread = {place: chance for place, chance in zip(a, p, strict=False) if place is not None and chance is not None}
    if not spread or len(spread) != len(a) or len(a) != len(p) or min(spread) < 0 or max(spread) >= len(ids):
        raise Unreadable(
            f"slot {number} has `_a` {outcome.a} and `_p` {outcome.p} for {len(ids)} actions",
            "`_p` follows `_a`, which names each action once by its place in `c._multi`, from 0",
        )
    return spread


def _features(said: _Line, ids: list[str]) -> Row:
    """Return the context and the actions as JSON text; tags that became ids are not features any more."""
    context = _WHOLE.decode(said.c)
    actions = _FEATURES.decode(context.pop("_multi"))
    tagged = [str(place) for place in range(1, len(ids) + 1)] != ids
    for action in actions:
        if tagged:
            action.pop("_tag", None)
    listed = [{"id": i, "features": action} for i, action in zip(ids, actions, strict=True)]
    return {"context": msgspec.json.encode(context).decode(), "actions": msgspec.json.encode(listed).decode()}
