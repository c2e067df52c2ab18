"""The service's operations, one method each; a method returns when its effect is on disk."""

import asyncio
import functools
import logging
import random
import secrets
from collections.abc import Callable
from typing import get_args

import msgspec

from bandit.decide import DecisionRequest, decide
from bandit.learn.lines import line_for
from bandit.learn.reach import goes_on_from
from bandit.service import status_views, views
from bandit.service.auditing import Auditor
from bandit.service.changes import changes_between
from bandit.service.runtime import LoopRuntime
from bandit.service.verification import verification_of
from bandit.settings import LoopConfig, as_stored
from store.errors import Conflict, HoneyguideError, InvalidInput, NotFound
from store.ledger.join import Recorded, activate, drop_early, expire, find_decision, record_decision, record_reward
from store.log.group_commit import GroupCommit
from store.ports import Operation, Store, Transaction
from store.records import Clock, Decision, LoopRecord, OutcomeKind, Reward

_log = logging.getLogger(__name__)

TICK_S = 0.05
"""How often expiry looks for what is due; the shortest window is 0.1 s."""
EXPIRE_AT_ONCE = 500


def time_ordered_ids(clock: Clock) -> Callable[[], str]:
    """Return a maker of fresh ids: the time first, so that ids enter the index in order, then 80 random bits.

    The bits keep ids apart; nothing rests on nobody guessing them.
    """
    bits = random.Random(secrets.randbits(256)).getrandbits  # noqa: S311  # not a secret, and a system call saved
    return lambda: f"{clock() // 1000:012x}{bits(80):020x}"


def new_secret() -> bytes:
    """Return a fresh secret for a loop, from the operating system's generator."""
    return secrets.token_bytes(32)


class Service:
    """Decides, keeps the ledger and learns, for every loop of one store.

    Make it inside a running event loop, `await start()`, and `await close()` in the end.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        make_id: Callable[[], str] | None = None,
        make_secret: Callable[[], bytes] = new_secret,
    ) -> None:
        self._store = store
        self._clock = clock
        self._make_id = make_id or time_ordered_ids(clock)
        self._make_secret = make_secret
        self._commit = GroupCommit(store)
        self._auditor = Auditor(store, self._commit, clock)
        self._loops: dict[str, LoopRuntime] = {}
        self._changing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open every loop at its last checkpoint, close what fell due meanwhile, and learn what waits for no cut."""
        for record in self._store.loops():
            self._loops[record.name] = self._runtime(record)
        await self._expire()
        for runtime in self._loops.values():
            await runtime.wait_learned(runtime.through, timeout_s=3600)
        self._auditor.open()
        self._tasks = [
            asyncio.create_task(self._run_clock(), name="expire"),
            asyncio.create_task(self._auditor.run(), name="audit"),
        ]

    async def close(self) -> None:
        """Store every loop's state and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for runtime in self._loops.values():
            await runtime.close()
        await self._auditor.close()
        await self._commit.close()

    async def put_loop(self, name: str, config: LoopConfig, if_match: int | None) -> tuple[views.LoopView, bool]:
        """Create or replace a loop; returns it and whether it is new.

        Raises `Conflict` when `if_match` is not the loop's revision, `InvalidInput` for a bad name.
        """
        async with self._changing:
            old = self._loops.get(views.check_loop_name(name))
            _check_revision(name, old, if_match)
            record = LoopRecord(
                name=name,
                config=msgspec.json.encode(config),
                secret=old.record.secret if old else self._make_secret(),
                revision=old.record.revision + 1 if old else 1,
                updated_at=self._clock(),
            )
            await self._commit.submit(functools.partial(_put_loop, record=record))
            if old:
                old.apply(record)
            else:
                self._loops[name] = self._runtime(record)
        return self.loop(name), old is None

    def changes(self, name: str, config: LoopConfig, if_match: int | None) -> views.ChangesView:
        """Say what `put_loop` would change, and change nothing; raises what that raises."""
        config = as_stored(config)
        old = self._loops.get(views.check_loop_name(name))
        _check_revision(name, old, if_match)
        line = line_for(self._store, name, config).name
        opens = None
        if old is None or old.line != line:
            position = goes_on_from(self._store, name, line)
            opens = views.OpensView(line, position, self._store.log_position(name) - position)
        found = changes_between(old.config, config) if old else []
        return views.ChangesView(name, old is None, found, opens)

    def loop(self, name: str) -> views.LoopView:
        """Return a loop and its config."""
        runtime = self._find(name)
        record, config = runtime.record, runtime.config
        at = views.instant(record.updated_at)
        return views.LoopView(name, config, runtime.line, record.revision, at)

    def loops(self) -> list[views.LoopView]:
        """Return all loops by name."""
        return [self.loop(name) for name in sorted(self._loops)]

    async def decide(self, name: str, request: DecisionRequest, body: bytes) -> Recorded:
        """Decide; returns when the decision is on disk. A repeated id gets the stored decision."""
        runtime = self._find(name)
        made: list[Decision] = []
        try:
            recorded = await self._commit.prepare(functools.partial(self._decide, runtime, request, body, made))
        except HoneyguideError:
            _withdraw(runtime, request, made)
            raise
        if recorded.repeated:
            _withdraw(runtime, request, made)
        else:
            self._auditor.heard(recorded.decision)
        if request.decision_id is not None or runtime.config.provisional:
            runtime.wake()  # a reward may have waited for it, or it is learned at once
        return recorded

    def _decide(
        self, runtime: LoopRuntime, request: DecisionRequest, body: bytes, made: list[Decision]
    ) -> Operation[Recorded]:
        decision_id = self._make_id() if request.decision_id is None else request.decision_id
        try:
            decision = decide(runtime.frame(), request, body, decision_id=decision_id, at=self._clock())
        except InvalidInput as error:
            # What can be served may have changed since: a repeated request gets its answer all the same.
            return functools.partial(find_decision, loop=runtime.name, decision_id=decision_id, body=body, error=error)
        # At once, not when it is on disk: the next decision of the same batch must know of it.
        runtime.history.spend(decision, request.entities)
        runtime.frequency.served(request.entities, decision.served, decision.at)
        made.append(decision)
        return functools.partial(
            record_decision,
            decision=decision,
            rules=runtime.config.reward,
            known_id=request.decision_id is not None,
            provisional=runtime.config.provisional,
        )

    async def activate(self, name: str, decision_id: str) -> None:
        """Take note that a deferred decision was shown; returns when that is on disk.

        Raises `NotFound` for an unknown decision, `Conflict` for one whose window has passed.
        """
        runtime = self._find(name)
        operation = functools.partial(
            activate,
            loop=name,
            decision_id=decision_id,
            now=self._clock(),
            rules=runtime.config.reward,
            provisional=runtime.config.provisional,
        )
        if await self._commit.submit(operation) is None:
            raise _no_decision(name, decision_id)
        runtime.wake()

    async def reward(self, name: str, request: views.RewardRequest) -> views.RewardAnswer:
        """Take a reward; returns when it is on disk, with what became of it."""
        runtime = self._find(name)
        runtime.config.reward.check("value", request.value, request.component)
        now = self._clock()
        reward = Reward(
            loop=name,
            decision_id=request.decision_id,
            value=request.value,
            received_at=now,
            occurred_at=now if request.occurred_at is None else views.microseconds(request.occurred_at),
            reward_id=request.reward_id,
            slot=request.slot,
            component=request.component,
        )
        receipt = await self._commit.submit(
            functools.partial(record_reward, reward=reward, rules=runtime.config.reward)
        )
        runtime.wake()
        return views.RewardAnswer("accepted", receipt.duplicate, receipt.late, receipt.early)

    async def decision(self, name: str, decision_id: str, *, verify: bool = False) -> views.DecisionView:
        """Explain a decision; with `verify` it is made again from what was logged, and compared."""
        self._find(name)
        decision = self._store.decision(name, decision_id)
        if decision is None:
            raise _no_decision(name, decision_id)
        rewards, outcomes = self._store.rewards(name, decision_id), self._store.outcomes(name, decision_id)
        activated = self._store.activated(name, decision_id) if decision.deferred else None
        verification = await verification_of(self._store, decision) if verify else None
        return views.decision_view(decision, rewards, outcomes, activated, verification)

    async def status(self, name: str, learned_through: int = 0, timeout_s: float = 0) -> status_views.StatusView:
        """Say whether the loop is learning, at the latest after `timeout_s` once `learned_through` is reached."""
        runtime = self._find(name)
        if learned_through and not runtime.reached(learned_through):
            await runtime.wait_learned(learned_through, timeout_s)
        counts = self._store.counts(name)
        return status_views.StatusView(
            loop=name,
            decisions=counts.decisions,
            activated=counts.activated,
            rewards=counts.rewards,
            reward_counts=status_views.reward_counts(counts),
            outcomes={kind: getattr(counts, kind) for kind in get_args(OutcomeKind)},
            log_start=self._store.log_start(name),
            log_position=self._store.log_position(name),
            learned_from=runtime.learner.learns_from,
            learned_through=runtime.learner.position,
            model_version=runtime.learner.model_version,
            checkpoint=runtime.checkpoint,
            learning_error=runtime.learning_error,
            fallbacks=counts.fallbacks,
            learning=status_views.learning_view(runtime.config, runtime.next_at, runtime.waiting),
            relearning=status_views.relearning_view(runtime.learner, runtime.behind),
            exploration=status_views.exploration_view(
                runtime.config.exploration, counts, runtime.history, runtime.learner.settled, self._clock()
            ),
            audit=self._auditor.view(name),
        )

    async def check_writable(self) -> None:
        """Return when something has been written and synced; raises `NotStored` if it cannot be."""
        await self._commit.submit(lambda tx: tx.touch())

    def _find(self, name: str) -> LoopRuntime:
        runtime = self._loops.get(name)
        if runtime is None:
            raise NotFound(f"there is no loop {name!r}: make it with PUT /v1/loops/{name}")
        return runtime

    def _runtime(self, record: LoopRecord) -> LoopRuntime:
        return LoopRuntime(record, self._store, self._commit, self._clock)

    async def tick(self) -> None:
        """Do what the clock says is due: close windows, give up on early rewards, wake who waits for the time."""
        await self._expire()
        await self._drop_early()
        for runtime in self._loops.values():
            runtime.look()

    async def idle(self) -> None:
        """Return when every loop has learned what it may learn by now."""
        for runtime in self._loops.values():
            await runtime.idle()

    async def _run_clock(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except HoneyguideError as error:
                _log.warning("expiry will try again: %s", error)

    async def _expire(self) -> None:
        rules_of = {name: runtime.config.reward for name, runtime in self._loops.items()}.__getitem__
        while self._store.anything_due(now := self._clock()):
            operation = functools.partial(expire, now=now, rules_of=rules_of, limit=EXPIRE_AT_ONCE)
            for loop in {outcome.loop for outcome in await self._commit.submit(operation)}:
                self._loops[loop].wake()

    async def _drop_early(self) -> None:
        for name, runtime in self._loops.items():
            before = self._clock() - runtime.config.reward.due(0)
            if self._store.anything_waiting(name, before):
                operation = functools.partial(drop_early, loop=name, before=before, limit=EXPIRE_AT_ONCE)
                await self._commit.submit(operation)


def _withdraw(runtime: LoopRuntime, request: DecisionRequest, made: list[Decision]) -> None:
    for decision in made:
        runtime.history.withdraw(decision, request.entities)
        runtime.frequency.not_served(request.entities, decision.served, decision.at)


def _no_decision(name: str, decision_id: str) -> NotFound:
    return NotFound(f"loop {name!r} has no decision {decision_id!r}: check the id, or the loop it belongs to")


def _put_loop(tx: Transaction, record: LoopRecord) -> None:
    tx.put_loop(record)


def _check_revision(name: str, old: LoopRuntime | None, if_match: int | None) -> None:
    if if_match is None or (old and if_match == old.record.revision):
        return
    if old is None:
        raise Conflict(f"If-Match is {if_match}, but there is no loop {name!r}: leave If-Match out to make it")
    raise Conflict(
        f"If-Match is {if_match}, but loop {name!r} is at revision {old.record.revision}: "
        "GET it, look at what changed, and PUT with its ETag"
    )
