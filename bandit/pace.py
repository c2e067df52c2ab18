"""The pace of learning: when the state that serves moves on, and how often it is stored. Pure, and knows no policy."""

from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from store.errors import InvalidInput
from store.records import SECOND

Mode: TypeAlias = Literal["interaction", "micro_batch", "scheduled"]

_YEAR_S = 31_536_000


class BatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a batch full.

    `outcomes` is how many wait, `seconds` how long the oldest of them has waited; whichever is first. `every_s` cuts
    at the multiples of so many seconds since 1970-01-01 UTC.
    """

    outcomes: Annotated[int, Meta(ge=2, le=1_000_000)] | None = None
    seconds: Annotated[float, Meta(ge=0.1, le=_YEAR_S)] | None = None
    every_s: Annotated[float, Meta(ge=1, le=_YEAR_S)] | None = None


class CheckpointConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint is stored after so many `outcomes`, or with the next one after so many `seconds`."""

    outcomes: Annotated[int, Meta(ge=10, le=1_000_000)] = 1000
    seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60

    def is_due(self, outcomes: int, elapsed: int) -> bool:
        """Say whether to store one, so many outcomes and microseconds after the one before."""
        return outcomes >= self.outcomes or (outcomes > 0 and elapsed >= self.seconds * SECOND)


class Waiting(NamedTuple):
    """Outcomes on disk that do not serve yet: how many, when the oldest settled, and when the last cut was (µs)."""

    outcomes: int
    since: int
    last_cut: int


def check_batch(mode: Mode, batch: BatchConfig | None) -> None:
    """Refuse a batch that says nothing in that mode, or too much."""
    given = [name for name in BatchConfig.__struct_fields__ if batch is not None and getattr(batch, name) is not None]
    allowed = {"interaction": [], "micro_batch": ["outcomes", "seconds"], "scheduled": ["every_s"]}[mode]
    if mode == "interaction" and batch is not None:
        raise InvalidInput(
            'learning.batch is set and learning.mode is "interaction", which learns each outcome at once: leave the '
            'batch out, or choose "micro_batch" or "scheduled"'
        )
    if mode != "interaction" and not given:
        wanted = " or ".join(f"learning.batch.{name}" for name in allowed)
        raise InvalidInput(f'learning.mode is "{mode}" and nothing says when a batch is full: give {wanted}')
    for name in given:
        if name not in allowed:
            raise InvalidInput(
                f'learning.batch.{name} is {getattr(batch, name)!r} and learning.mode is "{mode}", which goes by '
                f"{' and '.join(allowed)}: leave it out"
            )


def next_multiple(every_s: float, after: int) -> int:
    """Return the first time behind `after`, in microseconds, that is a multiple of so many seconds since 1970."""
    every = round(every_s * SECOND)
    return (after // every + 1) * every


def next_cut(mode: Mode, batch: BatchConfig | None, waiting: Waiting, now: int) -> int | None:
    """Return when, in microseconds, what waits is to serve; None where that is not known, or does not wait at all.

    It depends on the log and the clock alone, so that a restart changes nothing.
    """
    if batch is None or mode == "interaction":
        return None
    if batch.every_s is not None:
        # An outcome that settled before a cut and came behind it waits for the next one, like the others of its time.
        after = min(max(waiting.since, waiting.last_cut), now) if waiting.outcomes else now
        return next_multiple(batch.every_s, after)
    if waiting.outcomes == 0:
        return None
    if batch.outcomes is not None and waiting.outcomes >= batch.outcomes:
        return now
    return None if batch.seconds is None else waiting.since + round(batch.seconds * SECOND)
