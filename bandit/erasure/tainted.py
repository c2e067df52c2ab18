"""Which lines learned what is erased, and the lines that are opened in their places."""

import re
from collections.abc import Iterable

import msgspec

from bandit.erasure.find import Found
from bandit.learn.passing import learned
from store.lineage import Line, PassesOver, Taint
from store.ports import Store, Transaction
from store.records import Decision, Outcome, Relearning


class Marked(msgspec.Struct, frozen=True):
    """What is written down with an erasure: taints, the lines that replace tainted ones, where these learned anew.

    `forgetful` are lines whose rule named somebody who is erased, and does no longer.
    """

    taints: list[Taint]
    lines: list[Line]
    relearnings: list[Relearning]
    forgetful: list[Line]

    def write(self, tx: Transaction) -> None:
        """Write it down, and remove the states that contain what is erased."""
        for taint in self.taints:
            tx.add_taint(taint)
            tx.drop_checkpoints(taint.loop, taint.line, since=taint.position)
        for line in (*self.lines, *self.forgetful):
            tx.put_line(line)
        for relearning in self.relearnings:
            tx.add_relearning(relearning)


def marks(store: Store, found: Found, at: int) -> Marked:
    """Say which of the loop's lines had learned any of the decisions that are found, and from which position on."""
    loop = found.record.name
    opened = {line.name: line for line in store.lines(loop)}
    before = {taint.line: taint for taint in store.taints(loop)}
    taken = {*opened, *found.reached}
    outcomes = [store.outcomes(loop, decision.decision_id) for decision in found.decisions]
    marked = Marked([], [], [], [_without(line, found) for line in opened.values() if _names(line, found)])
    for name, reached in sorted(found.reached.items()):
        line = opened.get(name, Line(loop=loop, name=name))
        first = _first_learned(zip(found.decisions, outcomes, strict=True), line.passes_over, reached)
        if first is None:
            continue
        old = before.get(name)
        position = first if old is None else min(first, old.position)
        marked.taints.append(Taint(loop=loop, line=name, position=position, at=at))
        if old is None:
            new = _free(line, taken)
            taken.add(new)
            marked.lines.append(
                msgspec.structs.replace(_without(line, found), name=new, origin=name, why="erasure", opened_at=at)
            )
            again = store.relearnings(loop, name)
            marked.relearnings.extend(msgspec.structs.replace(r, line=new) for r in again)
    return marked


def names_any(store: Store, found: Found) -> bool:
    """Say whether a line of the loop has a rule that names somebody who is to be erased."""
    return any(_names(line, found) for line in store.lines(found.record.name))


def _names(line: Line, found: Found) -> bool:
    return any(entity in found.entities for entity in line.passes_over.without)


def _without(line: Line, found: Found) -> Line:
    """Return the line with a rule that does not name them: what it passed over of theirs is not there any more."""
    rule = line.passes_over
    kept = tuple(entity for entity in rule.without if entity not in found.entities)
    return msgspec.structs.replace(line, passes_over=PassesOver(rule.spans, kept))


def _first_learned(made: Iterable[tuple[Decision, list[Outcome]]], rule: PassesOver, reached: int) -> int | None:
    entries = (learned(rule, decision, outcomes) for decision, outcomes in made)
    return min((o.position for own in entries for o in own if o.position <= reached), default=None)


def _free(line: Line, taken: Iterable[str]) -> str:
    """Return the name of the line that replaces another: x, x.2, x.3 …"""
    stem = re.sub(r"\.\d+$", "", line.name) if line.why == "erasure" else line.name
    number = 2
    while f"{stem}.{number}" in taken:
        number += 1
    return f"{stem}.{number}"
