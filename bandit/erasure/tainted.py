"""Which lines learned what is erased, and the lines that are opened in their places."""

import re
from collections.abc import Iterable

import msgspec

from bandit.erasure.find import Found
from bandit.learn.passing import learned
from store.lineage import Line, PassesOver, Taint
from store.ports import Store, Transaction
from store.records import Relearning


class Marked(msgspec.Struct, frozen=True):
    """What is written down with an erasure: taints, the lines that replace tainted ones, where these learned anew."""

    taints: list[Taint]
    lines: list[Line]
    relearnings: list[Relearning]

    def write(self, tx: Transaction) -> None:
        """Write it down, and remove the states that contain what is erased."""
        for taint in self.taints:
            tx.add_taint(taint)
            tx.drop_checkpoints(taint.loop, taint.line, since=taint.position)
        for line in self.lines:
            tx.add_line(line)
        for relearning in self.relearnings:
            tx.add_relearning(relearning)


def marks(store: Store, found: Found, at: int) -> Marked:
    """Say which of the loop's lines had learned any of the decisions that are found, and from which position on."""
    loop = found.record.name
    opened = {line.name: line for line in store.lines(loop)}
    before = {taint.line: taint for taint in store.taints(loop)}
    taken = {*opened, *found.reached}
    marked = Marked([], [], [])
    for name, reached in sorted(found.reached.items()):
        line = opened.get(name, Line(loop=loop, name=name))
        first = _first_learned(store, found, line.passes_over, reached)
        if first is None:
            continue
        old = before.get(name)
        position = first if old is None else min(first, old.position)
        marked.taints.append(Taint(loop=loop, line=name, position=position, at=at))
        if old is None:
            new = _free(line, taken)
            taken.add(new)
            marked.lines.append(msgspec.structs.replace(line, name=new, origin=name, why="erasure", opened_at=at))
            again = store.relearnings(loop, name)
            marked.relearnings.extend(msgspec.structs.replace(r, line=new) for r in again)
    return marked


def _first_learned(store: Store, found: Found, rule: PassesOver, reached: int) -> int | None:
    loop = found.record.name
    entries = (learned(rule, d, store.outcomes(loop, d.decision_id)) for d in found.decisions)
    return min((o.position for own in entries for o in own if o.position <= reached), default=None)


def _free(line: Line, taken: Iterable[str]) -> str:
    """Return the name of the line that replaces another: x, x.2, x.3 …"""
    stem = re.sub(r"\.\d+$", "", line.name) if line.why == "erasure" else line.name
    number = 2
    while f"{stem}.{number}" in taken:
        number += 1
    return f"{stem}.{number}"
