"""Reads Vowpal Wabbit's contextual-bandit text: one decision in a line (cb) or in a block of lines (cb_adf).

A label is `action:cost:probability`, and the cost is a negative reward. In cb the action is a number, taken as it is
written. In cb_adf each line of a block is an action, known by its place from 1; the labelled line is the one that was
chosen, and the number in its label says nothing (VW ignores it). `shared` marks the line of the context. Blank lines
end a block.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from ope.formats.asides import Aside, NoDecision, Row, Unreadable, excerpt
from ope.formats.columns import LINE
from ope.formats.lines import Line

CB_COLUMNS = ("context", "action", "propensity", "reward", "outcome", LINE)
ADF_COLUMNS = (*CB_COLUMNS, "actions", "n_actions")
UNLABELLED = "no action has a cost, so nothing was observed"
MOST_LINES = 100_000
"""The longest block; a file without blank lines must not fill the memory."""

_LABEL = "a label is action:cost:probability, three numbers"


class _Label(NamedTuple):
    action: str
    cost: float
    propensity: float | None


class _Parsed(NamedTuple):
    """One line: whether it is a context's, its label if it has one, and its features as text."""

    shared: bool
    label: _Label | None
    features: str


def read_cb(lines: Iterable[Line], *, name: str, wanted: Sequence[str] = CB_COLUMNS) -> Iterator[Row | Aside]:
    """Yield each line as a row of a log, or why it is none; its features are read only if `context` is wanted."""
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield _cb_row(_parsed(line), number, features="context" in wanted)
        except Unreadable as error:
            yield error.at(name, number)


def read_adf(lines: Iterable[Line], *, name: str, wanted: Sequence[str] = ADF_COLUMNS) -> Iterator[Row | Aside]:
    """Yield each block as a row, numbered by its first line, or why it is none; features only if they are wanted."""
    features = not {"context", "actions"}.isdisjoint(wanted)
    for block in _blocks(lines):
        number = block[0][0]
        try:
            if len(block) > MOST_LINES:
                raise Unreadable("a block of lines does not end", f"blank lines part blocks of at most {MOST_LINES:,}")
            yield _adf_row([_parsed(line) for _, line in block], number, features=features)
        except Unreadable as error:
            yield error.at(name, number)


def _blocks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    block: list[Line] = []
    for number, line in chain(lines, [(0, b"")]):
        if line.strip():
            if len(block) <= MOST_LINES:  # what is too long is refused, so the rest of it need not be kept
                block.append((number, line))
        elif block:
            yield block
            block = []


def _cb_row(line: _Parsed, number: int, *, features: bool) -> Row | Aside:
    if line.shared:
        raise Unreadable("the line is `shared`", "shared lines belong to cb_adf: read the file with --from vw-cb-adf")
    if line.label is None:
        return NoDecision(UNLABELLED)
    context = {"context": _as_json(_namespaces(line.features))} if features else {}
    return context | _observed(line.label, line.label.action) | {LINE: number}


def _adf_row(block: list[_Parsed], number: int, *, features: bool) -> Row | Aside:
    actions = [line for line in block if not line.shared]
    contexts = [line for line in block if line.shared]
    if len(contexts) > 1 or (contexts and not block[0].shared):
        raise Unreadable(f"{len(contexts)} lines are `shared`", "one line may be, the first of its block")
    labelled = [(place, line.label) for place, line in enumerate(actions, start=1) if line.label is not None]
    if not labelled:
        return NoDecision(UNLABELLED)
    if len(labelled) > 1:
        raise Unreadable(f"{len(labelled)} actions have a cost", "one action was chosen, and it alone has a cost")
    place, label = labelled[0]
    texts = _texts(contexts, actions) if features else {}
    return texts | _observed(label, str(place)) | {"n_actions": len(actions), LINE: number}


def _observed(label: _Label, action: str) -> Row:
    # -0.0 would be a reward of minus nothing.
    return {"action": action, "propensity": label.propensity, "reward": 0.0 - label.cost, "outcome": "rewarded"}


def _texts(contexts: list[_Parsed], actions: list[_Parsed]) -> Row:
    context = _namespaces(contexts[0].features) if contexts else {}
    listed = [{"id": str(i), "features": _namespaces(line.features)} for i, line in enumerate(actions, start=1)]
    return {"context": _as_json(context), "actions": _as_json(listed)}


def _parsed(line: bytes) -> _Parsed:
    try:
        head, bar, features = line.decode().partition("|")
    except UnicodeDecodeError as error:
        raise Unreadable(excerpt(line), "text is UTF-8") from error
    if not bar:
        raise Unreadable(excerpt(line), "a line has a bar `|` before its features")
    words = _without_tag(head)
    if words[:1] == ["shared"]:
        return _Parsed(shared=True, label=None, features=features)
    labels = [label for word in words if (label := _label(word)) is not None]
    if len(labels) > 1:
        raise Unreadable(f"{len(labels)} actions have a cost: {excerpt(head)}", "one action was chosen")
    return _Parsed(shared=False, label=labels[0] if labels else None, features=features)


def _without_tag(head: str) -> list[str]:
    words = head.split()
    # What touches the bar is a tag, even if it looks like a label: VW reads it so.
    if words and (words[-1].startswith("'") or not head[-1].isspace()):
        if words[-1] == "shared":
            raise Unreadable(excerpt(head + "|"), "a blank stands between `shared` and the bar: VW takes it for a tag")
        words.pop()
    return words


def _label(word: str) -> _Label | None:
    """Return the label, or None for a word that only names an action that could have been chosen, or a weight."""
    action, *numbers = word.split(":")
    try:
        values = [float(number) for number in (action, *numbers)]
    except ValueError as error:
        raise Unreadable(excerpt(word), _LABEL) from error
    if not numbers:
        return None
    if not values[0].is_integer() or len(numbers) > 2:
        raise Unreadable(excerpt(word), _LABEL)
    return _Label(action, values[1], values[2] if len(values) > 2 else None)


def _namespaces(text: str) -> dict[str, dict[str, float]]:
    """Return the features by namespace, the nameless one under " ", as VW's JSON has it."""
    found: dict[str, dict[str, float]] = {}
    for part in text.split("|"):
        words = part.split()
        named = bool(words) and not part[0].isspace()
        name, scale = _valued(words.pop(0)) if named else (" ", 1.0)
        features = found.setdefault(name, {})
        for word in words:
            feature, value = _valued(word)
            features[feature] = features.get(feature, 0.0) + value * scale  # VW adds repeated features up
    return {name: features for name, features in found.items() if features}


def _valued(word: str) -> tuple[str, float]:
    name, colon, value = word.rpartition(":")
    if not colon:
        return word, 1.0
    try:
        return name, float(value)
    except ValueError as error:
        raise Unreadable(excerpt(word), "a feature is a name, or name:number") from error


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
