"""The standing propensity audit of every loop: follows the decision log and keeps what it adds up to."""

import asyncio
import functools
import itertools
import logging
from collections import Counter, deque
from collections.abc import Sequence

from bandit.service.status_views import AuditView, audit_view
from store.drift.propensity_audit import PropensityAudit
from store.errors import HoneyguideError, InvalidInput
from store.log.group_commit import GroupCommit
from store.ports import Store, Transaction
from store.records import SECOND, AuditRecord, Clock, Decision

_log = logging.getLogger(__name__)

PAUSE_S = 0.25
"""How often the audit looks for new decisions."""
SLICE = 128
"""Decisions read at once, while they are small."""
SLICE_ACTIONS = 2000
"""Actions read at once: what lies between two requests that are served meanwhile, a few milliseconds."""
FIRST_SLICE = 8
"""Decisions read at once before it is known how large they are."""
SAVE_DECISIONS = 10_000
MOST_HEARD = 10_000
"""Decisions that wait in memory to be audited; beyond, the oldest are read from the log again."""
SAVE_AFTER = 60 * SECOND


class Auditor:
    """Audits all loops of a store, in the order of its decision log, and only what is on disk.

    What was decided since the start it is told, which spares reading it back; the log fills what it missed. Following
    it once for all loops keeps an idle loop from costing anything. A saved position holds for every loop: what changed
    since the last save is saved together, so a loop that is not in it had no decisions.
    """

    def __init__(self, store: Store, commit: GroupCommit, clock: Clock) -> None:
        self._store = store
        self._commit = commit
        self._clock = clock
        self._audits: dict[str, PropensityAudit] = {}
        self._told: set[str] = set()
        self._unchecked: set[str] = set()
        self._unsaved: Counter[str] = Counter()
        self._position = 0
        self._heard: deque[Decision] = deque(maxlen=MOST_HEARD)
        self._limit = FIRST_SLICE
        self._saved_at = clock()
        self._error: str | None = None

    def open(self) -> None:
        """Go on from what was saved; what cannot be read begins anew, behind what was audited."""
        for record in self._store.audits():
            self._audits[record.loop] = self._restored(record)
            self._position = max(self._position, record.position)
        self._told = {loop for loop, audit in self._audits.items() if audit.alarms}

    def heard(self, decision: Decision) -> None:
        """Take a decision that is on disk, to be audited in the order of the log; one that is missed is read there."""
        self._heard.append(decision)

    def view(self, loop: str) -> AuditView:
        """Return how a loop's audit stands, with the newest decisions in it unless very many came at once."""
        try:
            self._step()
            self._check()
        except Exception as error:  # noqa: BLE001  # the status says it
            self._fail(error)
        return audit_view(self._audits.get(loop) or PropensityAudit(), self._error)

    async def run(self) -> None:
        """Audit whatever is new, until cancelled."""
        while True:
            try:
                await self.catch_up()
                self._error = None
            except Exception as error:  # noqa: BLE001  # serving does not depend on it; status and log say so
                self._fail(error)
            await asyncio.sleep(PAUSE_S)

    async def catch_up(self) -> None:
        """Audit the log through its end, giving way to requests often, and save now and then."""
        while self._step():
            await self._save_if_due()
            await asyncio.sleep(0)
        self._check()
        await self._save_if_due()

    async def save(self) -> None:
        """Store every audit that changed, in one transaction."""
        self._check()
        unsaved, self._unsaved = self._unsaved, Counter()
        self._saved_at = now = self._clock()
        records = [
            AuditRecord(loop=loop, position=self._position, state=self._audits[loop].state(), at=now)
            for loop in unsaved
        ]
        try:
            await self._commit.submit(functools.partial(_save, records=records))
        except HoneyguideError as error:
            self._unsaved += unsaved
            _log.warning("the propensity audit is not stored and will be later: %s", error)
        except asyncio.CancelledError:
            self._unsaved += unsaved
            raise

    async def close(self) -> None:
        """Store where the audit stands."""
        if self._unsaved:
            await self.save()

    def _fail(self, error: Exception) -> None:
        if self._error != repr(error):
            self._error = repr(error)
            _log.warning("the propensity audit cannot go on", exc_info=error)

    def _restored(self, record: AuditRecord) -> PropensityAudit:
        try:
            return PropensityAudit.restore(record.state)
        except InvalidInput as error:
            _log.warning("loop %r: %s; it is audited from position %s on", record.loop, error, record.position)
            return PropensityAudit(since=record.position)

    def _step(self) -> bool:
        """Audit the next few decisions; returns whether there were any."""
        decisions = self._next_heard() or self._store.decisions(after=self._position, limit=self._limit)
        if decisions:
            self._add(decisions)
        return bool(decisions)

    def _next_heard(self) -> list[Decision]:
        """Return the decisions that were heard and follow what is audited; none where the log must be read."""
        heard = self._heard
        found: list[Decision] = []
        while heard and len(found) < self._limit and heard[0].position <= self._position + len(found) + 1:
            decision = heard.popleft()
            if decision.position > self._position + len(found):
                found.append(decision)
        return found

    def _add(self, decisions: Sequence[Decision]) -> None:
        by_loop = sorted(decisions, key=lambda d: d.loop)
        for loop, own in itertools.groupby(by_loop, key=lambda d: d.loop):
            audit = self._audits.setdefault(loop, PropensityAudit())
            # A round that failed comes again: what another loop took from it counts once.
            found = [d for d in own if d.position > audit.position]
            audit.add(found)
            self._unchecked.add(loop)
            self._unsaved[loop] += len(found)
        self._position = decisions[-1].position
        actions = sum(len(d.actions) for d in decisions) / len(decisions)
        self._limit = max(1, min(SLICE, int(SLICE_ACTIONS / actions)))

    def _check(self) -> None:
        for loop in self._unchecked:
            audit = self._audits[loop]
            audit.check()
            if audit.alarms and loop not in self._told:
                self._told.add(loop)
                _log.warning("loop %r: the propensity audit alarms: %s", loop, audit.alarms[0].message)
        self._unchecked.clear()

    async def _save_if_due(self) -> None:
        late = self._unsaved and self._clock() - self._saved_at >= SAVE_AFTER
        if late or self._unsaved.total() >= SAVE_DECISIONS:
            await self.save()


def _save(tx: Transaction, records: Sequence[AuditRecord]) -> None:
    for record in records:
        tx.save_audit(record)
