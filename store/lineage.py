"""What is written down of lines that are not simply a config's own, and of what was erased."""

from typing import Literal, TypeAlias

import msgspec

Entity: TypeAlias = tuple[str, str]
"""A key and an id of a request's `entities`, such as `("user", "u-17")`."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """The positions of the outcome log behind `after`, through `through`."""

    after: int
    through: int

    def __contains__(self, position: int) -> bool:
        return self.after < position <= self.through


class PassesOver(msgspec.Struct, frozen=True):
    """What a line does not learn of its loop's log: entries in `spans`, and decisions for an entity of `without`.

    What follows in the log for a decision that has an entry in a span is passed over too: it would correct what was
    never learned.
    """

    spans: tuple[Span, ...] = ()
    without: tuple[Entity, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.spans or self.without)

    def from_then_on(self, after: int, through: int) -> "PassesOver":
        """Return the rule that goes as this one through position `after`, and passes over the rest through `through`.

        What this one passed over by entity stays passed over for good.
        """
        spans = [Span(span.after, min(span.through, after)) for span in self.spans if span.after < after]
        return PassesOver((*spans, Span(after, through)), self.without)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line: a fold of the loop's outcome log that passes over what the rule says.

    A config's `own` line passes over nothing and is written down nowhere. A `fork` was opened from the line `origin`
    by somebody, one for an `erasure` in the place of `origin`, which is tainted. Each learns with the config of the
    line that it began from.
    """

    loop: str
    name: str
    origin: str | None = None
    why: Literal["own", "fork", "erasure"] = "own"
    passes_over: PassesOver = PassesOver()
    opened_at: int = 0


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """That a line's states from `position` on contain data that were erased later, at `at`."""

    loop: str
    line: str
    position: int
    at: int


class Erased(msgspec.Struct, frozen=True):
    """How much was erased: decisions, with their entries of the outcome log and their rewards."""

    decisions: int = 0
    outcomes: int = 0
    rewards: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(self.decisions + other.decisions, self.outcomes + other.outcomes, self.rewards + other.rewards)


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """That decisions of a loop were erased at `at`, which is also written on each of them.

    `what` are keyed hashes of what was asked for: they tell whoever knows an id that it was erased. `done_at` is when
    nothing was left of it anywhere, None while it is not finished.
    """

    loop: str
    at: int
    what: tuple[str, ...]
    count: Erased
    done_at: int | None = None
