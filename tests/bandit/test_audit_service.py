"""The standing audit over both stores: fed from the log, kept over restarts, told once, and in nobody's way."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from support import seeded_service

from bandit import decide as decide_module
from bandit.decide import DecisionRequest
from bandit.service import auditing
from bandit.service.service import Service
from bandit.service.status_views import AuditView
from bandit.settings import LoopConfig
from store.drift.propensity_audit import PropensityAudit
from store.errors import NotStored
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import SECOND, AuditRecord, Decision

BODY = b'{"actions":[{"id":"a"},{"id":"b"},{"id":"c"}],"top_n":2}'
REQUEST = msgspec.json.decode(BODY, type=DecisionRequest)
FIXED = {"kind": "fixed", "action": "a"}


class Clock:
    """A clock that moves when it is told to."""

    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the audit look for new decisions so often that no test waits for it."""
    monkeypatch.setattr(auditing, "PAUSE_S", 0.001)


Scenario = Callable[[Service, Clock], Awaitable[None]]


def run(store: Store, *scenarios: Scenario) -> None:
    """Run each scenario against a started service over the same store, and close it; then close the store."""

    async def whole(scenario: Scenario) -> None:
        service = seeded_service(store, Clock())
        await service.start()
        try:
            await scenario(service, service._clock)
        finally:
            await service.close()

    try:
        for scenario in scenarios:
            asyncio.run(asyncio.wait_for(whole(scenario), 30))
    finally:
        store.close()


async def make(service: Service, name: str = "loop") -> None:
    parts = {"policy": FIXED, "exploration": {"cap": 1, "floor": 0.6, "cold_start": None}}
    await service.put_loop(name, msgspec.convert(parts, LoopConfig), None)


async def decide(service: Service, n: int, name: str = "loop") -> None:
    await asyncio.gather(*[service.decide(name, REQUEST, BODY) for _ in range(n)])


async def audited(service: Service, n: int, name: str = "loop") -> AuditView:
    """The audit's view once it contains n decisions."""
    for _ in range(2000):
        audit = (await service.status(name)).audit
        if audit.decisions >= n:
            return audit
        await asyncio.sleep(0.005)
    raise AssertionError(f"{audit.decisions} of {n} decisions are audited: {audit.error}")


def test_status_shows_the_audit(store: Store) -> None:
    """The decisions of each loop are audited by themselves, slot by slot, and what agrees does not alarm."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await make(service, "other")
        assert (await service.status("loop")).audit.decisions == 0
        await asyncio.gather(decide(service, 150), decide(service, 50, "other"))
        audit = await audited(service, 150)
        assert (audit.decisions, audit.alarms, audit.error, audit.unknown_slots) == (150, [], None, 0)
        assert [(f.test, f.slot) for f in audit.tests if f.test == "weight"] in (
            [("weight", 0), ("weight", 1)],
            [("weight", 1), ("weight", 0)],
        )
        assert sum(f.observed for f in audit.tests if f.test == "action") == 150
        assert len(audit.tests) == 3 + 2 + 2 + 1
        assert (await audited(service, 50, "other")).decisions == 50

    run(store, scenario)


def test_status_is_up_to_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered before the status was asked for is in it, however seldom the audit looks by itself."""
    monkeypatch.setattr(auditing, "PAUSE_S", 3600)

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        for n in range(1, 5):
            await decide(service, 1)
            assert (await service.status("loop")).audit.decisions == n

    run(store, scenario)


def test_a_repeated_decision_is_audited_once(store: Store) -> None:
    """A retry appends nothing, so the audit sees nothing."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        body = BODY.replace(b"{", b'{"decision_id":"mine",', 1)
        request = msgspec.json.decode(body, type=DecisionRequest)
        for _ in range(3):
            await service.decide("loop", request, body)
        await decide(service, 1)
        assert (await audited(service, 2)).decisions == 2

    run(store, scenario)


def test_a_fault_is_warned_of_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's log names the loop and the way out once, restarts included; the status goes on showing it."""
    monkeypatch.setattr(decide_module, "sample", lambda q, u: int(q.argmax()))
    caplog.set_level(logging.WARNING)

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await decide(service, 200)
        audit = await audited(service, 200)
        assert {alarm.test for alarm in audit.alarms} == {"action", "weight", "explored", "sharpness"}
        assert audit.alarms[0].at == "1970-01-01T00:16:40.000000Z"
        assert audit.alarms[0].position <= 200

    async def second(service: Service, clock: Clock) -> None:
        await decide(service, 100)
        assert (await audited(service, 300)).alarms != []

    run(store, first, second)
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith("loop 'loop': the propensity audit alarms: ")
    assert "do not estimate" in warning


def test_a_restart_goes_on_from_what_was_saved(store: Store) -> None:
    """What was closed is not read again, what came later is, and the sums are those of the whole log."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await make(service, "idle")
        await decide(service, 40, "idle")
        await decide(service, 60)
        await audited(service, 60)

    async def second(service: Service, clock: Clock) -> None:
        assert service._auditor._position == 100
        await decide(service, 30)
        audit = await audited(service, 90)
        whole = PropensityAudit()
        whole.add([row for row in store.decisions(after=0, limit=1000) if row.loop == "loop"])
        assert [f.draws for f in audit.tests] == [f.draws for f in whole.view()]
        assert [f.e_value for f in audit.tests] == pytest.approx([f.e_value for f in whole.view()])
        assert (await service.status("idle")).audit.decisions == 40

    run(store, first, second)


def test_a_kill_loses_only_the_time_to_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a save at the end, the next start audits the log from the last save, or from its beginning."""

    async def nothing(auditor: object) -> None:
        """Die before anything is saved."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await decide(service, 50)
        await audited(service, 50)
        monkeypatch.setattr(auditing.Auditor, "close", nothing)

    async def second(service: Service, clock: Clock) -> None:
        assert store.audits() == []
        assert (await audited(service, 50)).decisions == 50

    run(store, first, second)


def test_audits_are_saved_now_and_then(store: Store) -> None:
    """After a minute, or enough decisions, the state is stored while the server runs."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await decide(service, 20)
        await audited(service, 20)
        assert store.audits() == []
        clock.now += 60 * SECOND
        for _ in range(200):
            if store.audits():
                break
            await asyncio.sleep(0.005)
        [record] = store.audits()
        assert (record.loop, record.position, record.at) == ("loop", 20, clock.now)
        assert PropensityAudit.restore(record.state).decisions == 20

    run(store, scenario)


def test_a_save_that_fails_is_made_up_for(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """While the disk is full the audit goes on; what could not be stored is stored when the server stops."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await decide(service, 20)
        await audited(service, 20)
        submit = service._commit.submit
        service._commit.submit = functools.partial(refuse, service)
        await service._auditor.save()
        assert store.audits() == []
        service._commit.submit = submit

    async def refuse(service: Service, operation: object) -> None:
        raise NotStored("the disk is full")

    async def after(service: Service, clock: Clock) -> None:
        assert [record.position for record in store.audits()] == [20]

    run(store, scenario, after)
    assert "the disk is full" in caplog.text


def test_a_state_of_another_format_begins_anew(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is said, and later decisions are audited from there."""

    async def first(service: Service, clock: Clock) -> None:
        await make(service)
        await decide(service, 30)
        await audited(service, 30)

    async def second(service: Service, clock: Clock) -> None:
        audit = (await service.status("loop")).audit
        assert (audit.since, audit.decisions) == (30, 0)
        await decide(service, 10)
        assert (await audited(service, 10)).decisions == 10

    def spoil() -> None:
        record = AuditRecord(loop="loop", position=30, state=b"?", at=1)
        write(store, [lambda tx: tx.save_audit(record)])

    async def between(service: Service, clock: Clock) -> None:
        await audited(service, 30)
        await service._auditor.close()
        spoil()

    run(store, first, between, second)
    assert "it is audited from position 30 on" in caplog.text


def test_an_error_is_said_and_counts_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When auditing one loop fails, another's decisions of the same round count once, and the audit goes on."""
    add, failures = PropensityAudit.add, []

    def fail_once(audit: PropensityAudit, decisions: list) -> None:
        if decisions and decisions[0].loop == "z" and len(failures) < 3:
            failures.append(1)
            raise ZeroDivisionError
        add(audit, decisions)

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, "a")
        await make(service, "z")
        monkeypatch.setattr(PropensityAudit, "add", fail_once)
        await asyncio.gather(decide(service, 30, "a"), decide(service, 30, "z"))
        assert (await audited(service, 30, "z")).decisions == 30
        assert (await audited(service, 30, "a")).decisions == 30

    run(store, scenario)
    assert len(failures) == 3
    assert len([r for r in caplog.records if "cannot go on" in r.getMessage()]) == 1


def test_what_is_heard_is_not_read_and_what_is_missed_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are audited as they are made, in the order of the log; one that was not heard is read from there."""
    monkeypatch.setattr(auditing, "PAUSE_S", 3600)
    reads, read = [], store.decisions

    def watched(*, after: int, limit: int) -> list[Decision]:
        reads.append(after)
        return read(after=after, limit=limit)

    async def scenario(service: Service, clock: Clock) -> None:
        auditor = service._auditor
        await asyncio.sleep(0)  # the task of the audit looks once, and waits
        monkeypatch.setattr(store, "decisions", watched)
        await make(service)
        await decide(service, 20)
        await auditor.catch_up()
        assert (auditor.view("loop").decisions, set(reads)) == (20, {20})  # asked for more, and there was none
        hear = auditor.heard
        monkeypatch.setattr(auditor, "heard", lambda decision: None)
        await decide(service, 1)
        monkeypatch.setattr(auditor, "heard", hear)
        await decide(service, 5)
        await auditor.catch_up()
        view = auditor.view("loop")
        assert (view.decisions, view.position) == (26, 26)

    run(store, scenario)
