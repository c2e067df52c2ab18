"""Which lines a loop has: each config's own, and those that were opened from one, to pass over a part of the log."""

from typing import NamedTuple

import msgspec

from bandit.learn.checkpoints import line_name
from bandit.settings import LoopConfig, read_config
from store.errors import InvalidInput, NotFound
from store.lineage import Line, PassesOver, Taint
from store.ports import Store
from store.records import LoopRecord


class Known(NamedTuple):
    """A line and the config that it learns with."""

    line: Line
    config: LoopConfig


def line_for(store: Store, loop: str, config: LoopConfig) -> Line:
    """Return the line that serves under a config: its own, or the newest that was opened in its place."""
    return replacement(store, Line(loop=loop, name=line_name(config)))


def replacement(store: Store, line: Line) -> Line:
    """Return the line that was opened in the place of a tainted one, or of that; the line itself if it is sound."""
    in_place_of = {other.origin: other for other in store.lines(line.loop) if other.why == "erasure"}
    while line.name in in_place_of:
        line = in_place_of[line.name]
    return line


def find_line(store: Store, loop: str, name: str) -> Known:
    """Return a line by its name; raises `NotFound` where the loop never had a config that learns it."""
    opened = {line.name: line for line in store.lines(loop)}
    own = name
    while own in opened:
        own = opened[own].origin or own
    for record in store.configs(loop):
        config = readable(record)
        if config is not None and line_name(config) == own:
            return Known(opened.get(name, Line(loop=loop, name=name)), config)
    raise NotFound(f"loop {loop!r} has no config that learns line {name!r}: name one of its lines, or none for today's")


def taint_of(store: Store, line: Line) -> Taint | None:
    """Return the mark of a line that learned what was erased since, or None."""
    return next((taint for taint in store.taints(line.loop) if taint.line == line.name), None)


def readable(record: LoopRecord) -> LoopConfig | None:
    """Return a loop's config, or None where it is one of an older version that this one cannot read."""
    try:
        return read_config(record.config)
    except InvalidInput:
        return None


class Listed(msgspec.Struct, frozen=True):
    """A line of a loop: why and from which line it was opened, what it passes over, and how far it is stored.

    `serves` says that it is today's config's, `checkpoint` where its newest stored state is, if any, and `tainted` from
    where on its states contain what was erased since, or is null.
    """

    line: str
    why: str
    origin: str | None
    serves: bool
    opened_at: int | None
    passes_over: PassesOver
    checkpoint: int | None
    tainted: Taint | None


def lines_of(store: Store, loop: str) -> list[Listed]:
    """Return the loop's lines: each config's own, and those that were opened, oldest first."""
    known = {}
    serving = None
    for config in filter(None, map(readable, store.configs(loop))):
        known[line_name(config)] = Line(loop=loop, name=line_name(config))
        serving = line_for(store, loop, config).name
    known |= {line.name: line for line in store.lines(loop)}
    stored = store.stored_through(loop)
    return [
        Listed(
            line=line.name,
            why=line.why,
            origin=line.origin,
            serves=line.name == serving,
            opened_at=line.opened_at or None,
            passes_over=line.passes_over,
            checkpoint=stored.get(line.name),
            tainted=taint_of(store, line),
        )
        for line in known.values()
    ]
