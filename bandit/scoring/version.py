"""A model version of a loop in a data folder: `LOOP@LINE@POSITION`, its state, and what that state has seen."""

from collections.abc import Callable
from functools import partial

import msgspec

from bandit.learn.checkpoints import line_name, open_line
from bandit.learn.fork import last_before
from bandit.learn.learner import Learner
from bandit.learn.lines import Known, find_line, lines_of, readable, taint_of
from bandit.learn.replay import folded
from bandit.policies.base import Policy
from bandit.scoring.row import Row
from bandit.settings import LoopConfig
from ope.errors import InvalidLog, InvalidRequest
from store.errors import Gone, NotFound
from store.ports import Store
from store.records import LoopRecord

FORM = "LOOP@LINE@POSITION, such as news@linear_ts-35bf1cbd@120"


class Version(msgspec.Struct, frozen=True):
    """A state and what it has seen.

    `position` is that of the newest outcome in it, appended at `at`; `lines` are the loop's, whose positions are of the
    same outcome log. `latest_before` finds the newest position all of whose outcomes came before a moment.
    """

    loop: str
    name: str
    position: int
    at: int
    lines: frozenset[str]
    policy: Policy
    config: LoopConfig
    secret: bytes
    learned: int
    latest_before: Callable[[int], int]

    def check(self, row: Row, number: int) -> None:
        """Refuse a row of another loop, or one that the state may have learned from; `number` counts rows from 1.

        Legal is a decision that was made after the newest outcome in the state: by its time, or because the state that
        made it had that outcome too.
        """
        if row.loop not in {None, self.loop}:
            raise InvalidLog(
                f"row {number:,} is a decision of loop {row.loop!r}, and {self.loop}@{self.name} a version of "
                f"{self.loop!r}. Score it on a log of its own loop."
            )
        if not self.policy.dump() or self.position == 0:
            return
        if row.position is not None and (row.loop == self.loop or row.line in self.lines):
            if row.position >= self.position:
                return
        elif row.at is None:
            raise InvalidLog(
                f"row {number:,} says neither when it was decided (at) nor by which version of the loop "
                f"(model_version), so nobody can tell whether {self.loop}@{self.name} learned from it. Export it anew."
            )
        if row.at is not None and row.at > self.at:
            return
        raise InvalidLog(f"row {number:,}: {self._overlap(row)}")

    def _overlap(self, row: Row) -> str:
        line = self.name.rpartition("@")[0]
        older = None if row.at is None else self._older(row.at)
        way_out = "" if older is None else f", such as {self.loop}@{line}@{older}"
        return (
            f"decision {row.decision_id!r} was made before {self.loop}@{self.name} had learned all that it knows, so "
            "that it may have learned from this row. A state is judged on decisions that were made after it: export "
            f"with --since a later time, or name an earlier version{way_out}."
        )

    def _older(self, at: int) -> int | None:
        try:
            return self.latest_before(at - 1)
        except Gone:
            return None  # what came before was deleted, so there is none to name


def find_version(store: Store, spec: str) -> Version:
    """Return the version that a spec names, from the nearest stored state and the fold.

    Raises:
        InvalidRequest: for another form, or a loop, line or position that is not there.
        Gone: where the state needs what was deleted or erased.

    """
    loop, _, name = spec.partition("@")
    line, _, digits = name.rpartition("@")
    if not (loop and line and digits.isdecimal()):
        raise InvalidRequest(f"--policy {spec}: a model version is {FORM}.")
    position = int(digits)
    try:
        record = _record(store, loop)
        known = _newest(store, record, line)
        tainted = taint_of(store, known.line)
        if tainted is not None and position >= tainted.position:
            raise Gone(
                f"--policy {spec}: data that it had learned were erased; name a version before {tainted.position}"
            )
        learner = _opened(store, loop, known, position, spec)
        for _ in folded(store, loop, learner, position):
            pass
    except NotFound as error:
        raise InvalidRequest(f"--policy {spec}: {error}.") from error
    return Version(
        loop=loop,
        name=name,
        position=position,
        at=_appended(store, loop, position),
        lines=frozenset(listed.line for listed in lines_of(store, loop)),
        policy=learner.policy,
        config=known.config,
        secret=record.secret,
        learned=learner.settled,
        latest_before=partial(last_before, store, loop),
    )


def _opened(store: Store, loop: str, known: Known, position: int, spec: str) -> Learner:
    try:
        return open_line(store, loop, known.config, through=position, line=known.line)
    except Gone as error:
        # A stored state needs no outcomes to be made.
        stored = [kept.position for kept in store.checkpoints(loop, known.line.name)]
        if not stored:
            raise
        nearest = min(stored, key=lambda one: abs(one - position))
        raise Gone(
            f"--policy {spec}: {error}. Name a version that is stored, such as {loop}@{known.line.name}@{nearest}."
        ) from error


def _appended(store: Store, loop: str, position: int) -> int:
    """Return when an outcome was appended; where it was deleted, when that was done, which is later."""
    if position == 0:
        return 0
    try:
        [example] = store.examples(loop, after=position - 1, limit=1)
    except Gone:
        return store.deletions(loop)[-1].at
    return example.outcome.at


def _record(store: Store, loop: str) -> LoopRecord:
    found = {record.name: record for record in store.loops()}
    if loop not in found:
        raise NotFound(f"there is no loop {loop!r} in this data folder; its loops are: {', '.join(found) or 'none'}")
    return found[loop]


def _newest(store: Store, record: LoopRecord, line: str) -> Known:
    """Return a line with the newest config that learns it: how it explores is no part of the line."""
    known = find_line(store, record.name, line)
    own = line_name(known.config)
    configs = [config for r in store.configs(record.name) if (config := readable(r)) and line_name(config) == own]
    return Known(known.line, configs[-1])
