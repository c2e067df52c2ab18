"""Erasing: nothing of somebody is left in any file, requests are answered 410, and models are as if she never was."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from crashing import Crashed, crash_at
from support import calm, seeded_service
from typer.testing import CliRunner

from bandit.archive import Job, archive_folder
from bandit.cli.main import app
from bandit.decide import DecisionRequest
from bandit.erasure import places
from bandit.erasure.find import Wanted, hashes
from bandit.erasure.run import Report, erase_folder
from bandit.export import export_loop
from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, line_name, open_line
from bandit.learn.fork import Fork, fork
from bandit.learn.learner import Learner
from bandit.learn.lines import find_line, line_for, lines_of
from bandit.learn.replay import replay
from bandit.policies.base import Policy
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, as_stored, read_config
from store.errors import Conflict, Gone, InvalidInput, NotFound, StoreUnusable
from store.log import compact as compact_module
from store.log.archive.manifest import Manifest, Sealed, lock_archive
from store.log.archive.segments import read_segment
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore
from store.records import SECOND, Logged

DAY = 86_400 * SECOND
HER = Wanted(entities=(("user", "u0-Ada"),))
SECRETS = [b"u0-Ada", b"her-secret"]
"""What stands in her requests, and nowhere else."""
LINEAR = {"kind": "linear_ts"}
LATER = 30 * DAY


class Clock:
    def __init__(self, now: int = 10 * DAY) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def config_of(policy: dict[str, Any] | None = None, **parts: Any) -> LoopConfig:
    config = {
        "policy": policy or LINEAR,
        "reward": {"window_s": 3600, "correction_window_s": 7200},
        "learning": {"delay": "wait", "checkpoint": {"outcomes": 10}},
    }
    return as_stored(msgspec.convert({**config, **parts}, LoopConfig))


def serve(data: Path, clock: Clock, scenario: Callable[[Service], Awaitable[Any]]) -> Any:
    """Run a scenario against the service of a folder, and stop it in order."""

    async def whole() -> Any:
        with closing(SqliteStore(data)) as store:
            service = seeded_service(store, clock)
            await service.start()
            try:
                return await scenario(service)
            finally:
                await service.close()

    return asyncio.run(asyncio.wait_for(whole(), 60))


async def decide(service: Service, i: int, loop: str = "loop", user: int | None = None) -> str:
    """Decide for a user; the first decision of all is so long that SQLite gives it pages of its own."""
    user = i % 3 if user is None else user
    name = "u0-Ada" if user == 0 else f"u{user}"
    asked = {
        "decision_id": f"d{i}",
        "context": {"x": i % 5, **({"note": f"her-secret-{i}." * (1 if i else 20_000)} if user == 0 else {})},
        "entities": {"user": name},
        "actions": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
        "deferred": i % 10 == 9,
    }
    body = msgspec.json.encode(asked)
    recorded = await service.decide(loop, msgspec.json.decode(body, type=DecisionRequest), body)
    return recorded.decision.decision_id


async def reward(service: Service, decision_id: str, value: float, loop: str = "loop") -> None:
    await service.reward(loop, RewardRequest(decision_id, value, reward_id=f"r-{decision_id}"))


def live(
    data: Path, config: LoopConfig, *, loops: tuple[str, ...] = ("loop",), first: int = 0, count: int = 60
) -> None:
    """Four days: decisions for three users, rewards in time, silence, some not shown; the newest are open."""
    clock = Clock((10 * DAY) + first * DAY // 15)

    async def scenario(service: Service) -> None:
        for loop in loops:
            await service.put_loop(loop, config, None)
        for i in range(first, first + count):
            for loop in loops:
                name = await decide(service, i, loop)
                if i % 4 == 1:
                    await reward(service, name, 1.0, loop)
                if i % 20 == 19:
                    await service.activate(loop, name)
            clock.now += DAY // 15
            await calm(service)
        for loop in loops:
            await decide(service, 1000 + first * 3, loop, user=0)
            await decide(service, 1001 + first * 3, loop, user=1)
            await service.status(loop, service._store.log_position(loop), 5)

    serve(data, clock, scenario)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one loop that has lived; nothing is sealed."""
    data = tmp_path / "data"
    data.mkdir()
    live(data, config_of())
    return data


def sealed_and_pruned(data: Path) -> None:
    """Archive the first two days, and seal the third."""
    list(archive_folder(data, Job(until=date(1970, 1, 12)), Clock(LATER)))
    list(archive_folder(data, Job(until=date(1970, 1, 12), prune=True), Clock(13 * DAY)))
    list(archive_folder(data, Job(until=date(1970, 1, 13)), Clock(LATER)))


def erase(data: Path, wanted: Wanted = HER, *, at: int = LATER, dry_run: bool = False) -> Report:
    return erase_folder(data, wanted, Clock(at), lambda _: None, dry_run=dry_run)


def files_with(data: Path, words: list[bytes]) -> list[str]:
    """The files of a folder in whose bytes, or columns, one of the words is."""
    found = []
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        found += [path.name] if any(word in content for word in words) else []
    return found


def fold(store: SqliteStore, config: LoopConfig, line: Any, through: int | None = None) -> Learner:
    learner = begin_line(store, "loop", config, line)
    while advance(store, "loop", learner, through=through or store.log_position("loop"), limit=7) is not None:
        pass
    return learner


def never_there(data: Path, config: LoopConfig) -> Policy:
    """The state after folding, one by one, what is not hers; of a folder in which nothing was erased."""
    with closing(SqliteStore(data)) as store:
        policy = begin_line(store, "loop", config).policy
        folds = Learner("by hand", policy, config.reward)
        for e in store.examples("loop", after=0, limit=9999):
            if b"u0-Ada" not in e.decision.request:
                folds._fold_one(policy, e, settles=e.outcome.kind in {"rewarded", "expired"})
        return policy


def content(data: Path) -> dict[str, Any]:
    """Everything that is in a folder: rows of tables, rows of segments, and which files there are."""
    with closing(sqlite3.connect(data / FILE_NAME)) as connection:
        tables = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[str, Any] = {t: connection.execute(f"SELECT * FROM {t}").fetchall() for t in sorted(tables)}  # noqa: S608
    found.pop("_sqlite_migrations")
    manifest = Manifest(data)
    for segment in manifest.segments:
        found[segment.file] = list(read_segment(manifest.path(segment), segment.log))
    found["files"] = sorted(str(p.relative_to(data)) for p in (data / "archive").rglob("*") if p.is_file())
    return found


# Nothing is left


@pytest.mark.parametrize("archived", [False, True])
def test_nothing_of_her_is_left_in_any_file(data: Path, *, archived: bool) -> None:
    """Her strings are in no byte of the folder, nor in any column of the archive; others' are where they were."""
    if archived:
        sealed_and_pruned(data)
        assert len(Manifest(data).segments) >= 8
    assert files_with(data, SECRETS)
    others = files_with(data, [b'"u1"'])
    before = erase(data, dry_run=True)
    assert files_with(data, SECRETS)
    found = erase(data)
    assert files_with(data, SECRETS) == []
    assert len(files_with(data, [b'"u1"'])) == len(others)
    [counted] = found.erased
    assert before.erased == found.erased
    assert (counted.decisions, counted.rewards) == (21, 5)
    assert counted.outcomes == 20  # one of them was open
    assert erase(data, at=LATER + 1).erased == []


def test_what_was_freed_before_is_gone_too(data: Path) -> None:
    """What pruning and older checkpoints left in free pages of the file is not in it any more."""
    sealed_and_pruned(data)
    with closing(sqlite3.connect(data / FILE_NAME, isolation_level=None)) as connection:
        assert connection.execute("SELECT answer FROM decisions WHERE decision_id = 'd0'").fetchone() == (b"",)
        # As SQLite does unless it was built otherwise, which some systems' was.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE pruned_long_ago (request TEXT)")
        connection.execute("INSERT INTO pruned_long_ago VALUES (?)", ("her-secret-long-ago." * 100_000,))
        connection.execute("DROP TABLE pruned_long_ago")
    assert (data / FILE_NAME).read_bytes().count(b"her-secret-long-ago.") > 90_000
    erase(data)
    assert files_with(data, SECRETS) == []


def test_what_is_left_is_its_place_and_its_ids(data: Path) -> None:
    """Positions, ids, links and times stay; request, answer, value and slot do not; nothing is appended."""
    with closing(SqliteStore(data)) as store:
        before = store.examples("loop", after=0, limit=999)
        kept = [r for d in ("d1", "d5") for r in store.rewards("loop", d)]
    sealed_and_pruned(data)
    erase(data)
    with closing(SqliteStore(data)) as store:
        after = store.examples("loop", after=0, limit=999)
        assert [e.outcome.position for e in after] == [e.outcome.position for e in before]
        for old, new in zip(before, after, strict=True):
            hers = b"u0-Ada" in old.decision.request
            assert new.decision == (old.decision.erased(LATER) if hers else old.decision)
            assert new.outcome == (old.outcome.erased() if hers else old.outcome)
        assert [r for d in ("d1", "d5") for r in store.rewards("loop", d)] == kept
        assert store.first_open("loop") == 62
        assert store.erased("loop", since=0, until=2**62) == 21
        assert store.erased("loop", since=0, until=10 * DAY + DAY // 2) == 3
        assert store.counts("loop").erased == 20
        assert store.counts("loop").decisions == 62


def test_rows_of_the_archive_are_erased_as_those_of_the_log(data: Path) -> None:
    """In the files, too, her outcomes and rewards keep their places and ids, and nobody else's row is touched."""
    sealed_and_pruned(data)
    old = [row for s in Manifest(data).segments for row in rows_of(data, s)]
    with closing(SqliteStore(data, read_only=True)) as store:
        hers = {row.decision.position for row in logged(store) if b"u0-Ada" in row.decision.request}
    erase(data)
    new = [row for s in Manifest(data).segments for row in rows_of(data, s)]
    assert len(new) == len(old)
    counts = dict.fromkeys(("decisions", "outcomes", "rewards", "activations"), 0)
    for (log, before), (_, after) in zip(old, new, strict=True):
        if log == "activations" or owner(log, before) not in hers:
            assert after == before
            continue
        counts[log] += 1
        emptied = {"decisions": (4, 5), "outcomes": (2, 3, 5, 6), "rewards": (3, 4, 5, 6, 8)}[log]
        assert [x for i, x in enumerate(after) if i not in emptied] == [
            x for i, x in enumerate(before) if i not in emptied
        ]
        if log == "outcomes":
            assert [after[i] for i in emptied] == ["erased", 0.0, None, None]
        if log == "rewards":
            assert [after[i] for i in emptied] == [0.0, None, None, after[7], "erased"]
    assert counts == {"decisions": 15, "outcomes": 15, "rewards": 3, "activations": 0}


def rows_of(data: Path, segment: Sealed) -> list[tuple[str, tuple[Any, ...]]]:
    return [(segment.log, row) for row in read_segment(Manifest(data).path(segment), segment.log)]


def owner(log: str, row: tuple[Any, ...]) -> int:
    """The position of a row's decision; d0 is the first of the log, and so on."""
    return {"decisions": lambda: row[0], "outcomes": lambda: row[1], "rewards": lambda: int(row[1][1:]) + 1}[log]()


def logged(store: SqliteStore) -> list[Logged]:
    return store.logged("loop", since=0, until=2**62, after=0, limit=999)


# Requests for what was erased


def test_requests_are_answered_gone(data: Path) -> None:
    """The decision, a retry, its activation and another reward are 410 with the time; a known reward id is not."""
    sealed_and_pruned(data)
    erase(data)

    async def scenario(service: Service) -> None:
        for name in ("d0", "d57", "d1000"):  # pruned, live, and one that was open
            for attempt in (
                service.decision("loop", name),
                service.activate("loop", name),
                service.reward("loop", RewardRequest(name, 1.0, reward_id=f"new-{name}")),
                service.reward("loop", RewardRequest(name, 1.0)),
                decide(service, int(name[1:]), user=1),
            ):
                with pytest.raises(Gone, match=rf"{name}.*was erased at 1970-01-31T00:00:00Z"):
                    await attempt
        assert (await service.reward("loop", RewardRequest("d9", 1.0, reward_id="r-d9"))).duplicate
        counts = service._store.counts("loop")
        assert (counts.rewards, counts.duplicate_rewards) == (15, 1)
        await calm(service)
        assert (await service.status("loop")).outcomes["erased"] == 20
        assert (await service.decision("loop", "d1")).decision_id == "d1"

    serve(data, Clock(LATER + DAY), scenario)


def test_readers_pass_over_and_say_how_many(data: Path, tmp_path: Path) -> None:
    """The export lacks them and says so; log readers with a limit get as many as they ask for."""
    with closing(SqliteStore(data, read_only=True)) as store:
        whole = export_loop(store, "loop", tmp_path / "a.parquet", unsettled=True)
    erase(data)
    said = CliRunner().invoke(app, ["export", "loop", "--data", str(data), "--out", str(tmp_path / "b.parquet")])
    assert "21 more were erased" in said.output
    with closing(SqliteStore(data, read_only=True)) as store:
        assert export_loop(store, "loop", tmp_path / "b.parquet", unsettled=True) == (whole.written - 21, 0, 21)
        rows = store.logged("loop", since=0, until=2**62, after=0, limit=5)
        assert [row.decision.decision_id for row in rows] == ["d1", "d2", "d4", "d5", "d7"]
        assert store.decisions(after=0, limit=5) == [row.decision for row in rows]
    exported = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert len(exported) == 41
    assert "Ada" not in repr(exported)


def test_the_audit_goes_on(data: Path) -> None:
    """A restart of the propensity audit behind, before and among tombstones audits each decision that is left once."""

    async def audited(service: Service) -> int:
        await service._auditor.catch_up()
        return (await service.status("loop")).audit.decisions

    async def more(service: Service) -> int:
        for i in range(70, 80):
            await decide(service, i)
        return await audited(service)

    before = serve(data, Clock(LATER - DAY), audited)
    erase(data)
    assert (before, serve(data, Clock(LATER), audited)) == (62, 62)
    assert serve(data, Clock(LATER), more) == 72
    with closing(sqlite3.connect(data / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("DELETE FROM audits")
    erase(data, at=LATER + 1)
    assert serve(data, Clock(LATER + 2), audited) == 72 - 21 - 3


def test_the_gate_goes_on_from_the_newest_decision_that_is_left(tmp_path: Path) -> None:
    """What that decision logged is what the gate stands at: her newest ones owe nothing any more."""
    clock = Clock()
    config = config_of(
        reward={"window_s": 3600, "range": [0, 1]}, exploration={"conservative": {"alpha": 0.5, "confidence": 0.6}}
    )

    async def scenario(service: Service) -> float:
        await service.put_loop("loop", config, None)
        for i in range(120):
            name = await decide(service, i, user=1 if i < 100 else 0)
            if i < 100:
                await reward(service, name, 1.0)
            clock.now += SECOND
            await calm(service)
        return await owed(service)

    async def owed(service: Service) -> float:
        await calm(service)
        gate = (await service.status("loop")).exploration.conservative
        assert gate is not None
        return gate.owed

    before = serve(tmp_path, clock, scenario)
    erase(tmp_path, at=clock.now)
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        newest = store.logged("loop", since=0, until=2**62, after=0, limit=999)[-1].decision
    logged = newest.guard_state["gate_owed"] + newest.guard_state["gate_price"]
    assert newest.decision_id == "d99"
    assert before > logged > 0
    assert serve(tmp_path, clock, owed) == logged


# What had learned her


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("kind", ["linear_ts", "beta_ts", "bootstrap_ts"])
def test_the_model_is_as_if_she_never_was(tmp_path: Path, kind: str, *, archived: bool) -> None:
    """The line that serves afterwards is, to the bit, the fold of what is not hers; its replay is identical."""
    config = config_of({"kind": kind})
    live(tmp_path, config)
    wanted = never_there(tmp_path, config)
    if archived:
        sealed_and_pruned(tmp_path)
    own = line_name(config)
    found = erase(tmp_path)
    assert [(t.line, t.replaced_by) for t in found.tainted] == [(own, f"{own}.2")]
    with closing(SqliteStore(tmp_path)) as store:
        line, end = line_for(store, "loop", config), store.log_position("loop")
        assert [(r.line, r.position) for r in found.relearned] == [(line.name, end)] == [(f"{own}.2", end)]
        newest = next(store.checkpoints("loop", line.name))
        assert newest.position == end
        assert newest.state == wanted.dump()
        told = replay(store, "loop", config, progress=lambda _: None)
        assert [(c.position, c.verdict) for c in told.checkpoints] == [(end, "identical")]

    async def scenario(service: Service) -> str:
        assert service.loop("loop").line == f"{own}.2"
        name = await decide(service, 200)
        assert (await service.decision("loop", name, verify=True)).verification.matches
        return (await service.status("loop")).model_version

    # What was open when she was erased expired meanwhile.
    assert serve(tmp_path, Clock(LATER + 1), scenario) == f"{own}.2@{end + 1}"


def test_tainted_states_are_gone_and_say_so(data: Path) -> None:
    """Its states from the first that knew her on are deleted and cannot be verified; older ones are as they were."""
    [taint] = erase(data, Wanted(decisions=(("loop", "d50"),))).tainted
    config = config_of()
    own = line_name(config)
    with closing(SqliteStore(data)) as store:
        assert taint.position > 20
        assert all(c.position < taint.position for c in store.checkpoints("loop", own))
        assert len(list(store.checkpoints("loop", own))) >= 2
        told = replay(store, "loop", config, progress=lambda _: None, line=find_line(store, "loop", own).line)
        assert told.matches
        assert (told.position, told.tainted.at) == (taint.position - 1, LATER)
        with pytest.raises(Conflict, match=f"fork '{own}.2', which is in its place"):
            fork(store, Fork(loop="loop", name="x", source=own, without=(("user", "u1"),)), **QUIET)

    async def scenario(service: Service) -> None:
        early, late = [(await service.decision("loop", d, verify=True)).verification for d in ("d10", "d59")]
        assert early.matches
        assert not late.matches
        assert "data that it had learned were erased at 1970-01-31" in late.reason

    serve(data, Clock(LATER), scenario)
    said = CliRunner().invoke(app, ["replay", "loop", "--verify", "--line", own, "--data", str(data)])
    assert said.exit_code == 0
    assert "is tainted by an erasure at 1970-01-31T00:00:00.000000Z" in said.output.replace("\n", " ")


QUIET: dict[str, Any] = {"now": 1, "keep": 9, "progress": lambda _: None}


def test_a_line_that_passed_over_her_is_not_tainted(data: Path) -> None:
    """A fork without her stays as it is, one with her gets another in its place, under the same rule."""
    with closing(SqliteStore(data)) as store:
        fork(store, Fork(loop="loop", name="less", without=(("user", "u0-Ada"),)), **QUIET)
        fork(store, Fork(loop="loop", name="other", without=(("user", "u1"),)), **QUIET)
        state = next(store.checkpoints("loop", "less")).state
    found = erase(data)
    assert files_with(data, SECRETS) == []  # nor is she named in the rule
    own = line_name(config_of())
    assert {(t.line, t.replaced_by) for t in found.tainted} == {(own, f"{own}.2"), ("other", "other.2")}
    with closing(SqliteStore(data)) as store:
        assert next(store.checkpoints("loop", "less")).state == state
        assert find_line(store, "loop", "less").line.passes_over.without == ()
        assert list(store.checkpoints("loop", "other")) == []
        line, config = find_line(store, "loop", "other.2")
        assert line.passes_over.without == (("user", "u1"),)
        assert replay(
            store, "loop", config, progress=lambda _: None, line=find_line(store, "loop", "less").line
        ).matches
        assert [(each.line, each.serves, each.tainted is not None) for each in lines_of(store, "loop")] == [
            (own, False, True),
            ("less", False, False),
            ("other", False, True),
            (f"{own}.2", True, False),
            ("other.2", False, False),
        ]


def test_erasing_again_replaces_the_replacement(data: Path) -> None:
    """The second person taints the line that was opened for the first; one of before moves the first mark back."""
    own = line_name(config_of())
    erase(data, Wanted(decisions=(("loop", "d30"),)))
    live(data, config_of(), first=61, count=9)
    [first, second] = erase(data, at=LATER + DAY).tainted
    assert (first.line, first.replaced_by) == (own, None)
    assert (second.line, second.replaced_by) == (f"{own}.2", f"{own}.3")
    with closing(SqliteStore(data)) as store:
        assert line_for(store, "loop", config_of()).name == f"{own}.3"
        assert [t.position for t in store.taints("loop")] == [first.position, second.position]
        assert first.position == second.position == 1
        assert replay(store, "loop", config_of(), progress=lambda _: None).matches


def test_states_that_only_decisions_tell_of_taint_too(data: Path) -> None:
    """A line whose checkpoints are lost had learned what the states that decided had learned."""
    with closing(sqlite3.connect(data / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("DELETE FROM checkpoints")
    own = line_name(config_of())
    assert [t.replaced_by for t in erase(data).tainted] == [f"{own}.2"]


def test_what_was_not_learned_taints_nothing(tmp_path: Path) -> None:
    """Decisions that are still open leave the line as it is."""
    live(tmp_path, config_of(), count=0)
    found = erase(tmp_path)
    assert [(c.decisions, c.outcomes) for c in found.erased] == [(1, 0)]
    assert found.tainted == found.relearned == []
    with closing(SqliteStore(tmp_path)) as store:
        assert line_for(store, "loop", config_of()).why == "own"


def test_a_line_that_learns_anew_does_so_without_her(tmp_path: Path) -> None:
    """The line in the place of one that learned its log anew does so at the same places, with what is left."""
    config = config_of(
        {"kind": "logistic_ts"}, learning={"delay": "wait", "relearn_s": 86400, "checkpoint": {"outcomes": 10}}
    )
    live(tmp_path, config)
    with closing(SqliteStore(tmp_path)) as store:
        there = [r.position for r in store.relearnings("loop", line_name(config))]
    assert len(there) >= 2
    erase(tmp_path)
    with closing(SqliteStore(tmp_path)) as store:
        line = line_for(store, "loop", config)
        assert [r.position for r in store.relearnings("loop", line.name)] == there
        assert replay(store, "loop", config, progress=lambda _: None).matches
        policy = begin_line(store, "loop", config).policy
        hand = Learner("by hand", policy, config.reward)
        examples = store.examples("loop", after=0, limit=999)
        for e in examples[: there[-1]]:
            if e.before is None:
                newest = [o for o in store.outcomes("loop", e.decision.decision_id) if o.position <= there[-1]][-1]
                hand._fold_one(policy, msgspec.structs.replace(e, outcome=newest), settles=True)
        for e in examples[there[-1] :]:
            hand._fold_one(policy, e, settles=True)
        assert fold(store, config, line).policy.dump() == policy.dump()


def test_batches_go_on(tmp_path: Path) -> None:
    """In batches the erasure is a cut: what serves after a restart is the new line at the end of the log."""
    config = config_of(learning={"delay": "wait", "mode": "micro_batch", "batch": {"outcomes": 7}})
    live(tmp_path, config)
    erase(tmp_path)

    async def scenario(service: Service) -> tuple[str, int]:
        return (await service.status("loop")).model_version, service._store.log_position("loop")

    version, _ = serve(tmp_path, Clock(13 * DAY), scenario)
    with closing(SqliteStore(tmp_path)) as store:
        stored = store.stored_through("loop")
    assert version == f"{line_name(config)}.2@{stored[f'{line_name(config)}.2']}"


# Several loops, named decisions, what is written down


def test_loops_and_decisions_can_be_chosen(tmp_path: Path) -> None:
    """All loops, some of them, or single decisions; an unknown one is named; the record tells who knows the id."""
    live(tmp_path, config_of(), loops=("a", "b", "c"), count=12)
    first = erase(tmp_path, Wanted(entities=HER.entities, loops=("a",), decisions=(("b", "d1"), ("b", "d2"))))
    assert [(c.loop, c.decisions) for c in first.erased] == [("a", 5), ("b", 2)]
    second = erase(tmp_path, HER, at=LATER)  # at the same time: it gets one of its own
    assert [(c.loop, c.decisions) for c in second.erased] == [("b", 5), ("c", 5)]
    assert erase(tmp_path, Wanted(decisions=(("b", "d1"),))).erased == []
    with closing(SqliteStore(tmp_path)) as store:
        records = {record.name: record for record in store.loops()}
        told = [(e.loop, e.at, e.what, e.count.decisions, e.done_at is not None) for e in store.erasures()]
    mine = {name: hashes(HER, record) for name, record in records.items()}
    assert len(set(mine.values())) == 1  # the test's loops have one secret
    assert [(loop, at, n, done) for loop, at, _, n, done in told] == [
        ("a", LATER, 5, True),
        ("b", LATER, 2, True),
        ("b", LATER + 1, 5, True),
        ("c", LATER + 1, 5, True),
    ]
    assert told[0][2] == mine["a"]
    assert told[1][2] == hashes(Wanted(decisions=(("b", "d1"), ("b", "d2"))), records["b"])
    for wrong, error, said in [
        (Wanted(entities=HER.entities, loops=("x",)), InvalidInput, "no loop 'x'.*: a, b, c"),
        (Wanted(decisions=(("x", "d1"),)), InvalidInput, "no loop 'x'"),
        (Wanted(decisions=(("a", "nobody"),)), NotFound, "no decision 'nobody'"),
    ]:
        with pytest.raises(error, match=said):
            erase(tmp_path, wrong)


def test_nobody_else_may_work_on_the_folder(data: Path, tmp_path: Path) -> None:
    """A running server, and an archive or backup that runs, are named; so is a folder without a log."""
    for lock in (lock_folder(data), lock_archive(data)):
        with pytest.raises(StoreUnusable, match="in use by another"):
            erase(data)
        lock.release()
    with pytest.raises(StoreUnusable, match="does not exist"):
        erase(tmp_path / "nowhere")


def test_a_reader_in_the_way_is_named_and_the_next_run_finishes(data: Path) -> None:
    """While another program reads the file its write-ahead log cannot be emptied: that is said, and done later."""
    with closing(sqlite3.connect(data / FILE_NAME, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM decisions").fetchone()
        with pytest.raises(StoreUnusable, match="another program reads the log"):
            erase(data)
    again = erase(data, at=LATER + 1)
    assert (again.erased, again.resumed) == ([], 1)
    assert files_with(data, SECRETS) == []


def test_without_room_it_says_what_is_left(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are erased by then, the bytes are not: "nothing is lost" alone would tell of the first only."""

    def full(folder: Path, _: sqlite3.Connection) -> None:
        raise StoreUnusable(f"the log of {folder} cannot be written (disk is full)")

    with monkeypatch.context() as patch:
        patch.setattr(compact_module, "vacuum", full)
        with pytest.raises(StoreUnusable, match=r"bytes of it are left in the file until the next run.*disk is full"):
            erase(data)
    assert erase(data, at=LATER + 1).resumed == 1
    assert files_with(data, SECRETS) == []


# The archive afterwards


def test_sealing_and_pruning_go_on(data: Path, tmp_path: Path) -> None:
    """Tombstones are sealed and pruned like other rows; readers see no difference, the files have nothing of her."""
    sealed_and_pruned(data)
    erase(data)
    before = told(data)
    assert any("sealed" in line for line in archive_folder(data, Job(), Clock(LATER)))
    assert told(data) == before
    list(archive_folder(data, Job(prune=True), Clock(LATER)))
    assert told(data) == before
    with closing(sqlite3.connect(data / FILE_NAME)) as connection:
        left = connection.execute("SELECT count(*) FROM outcomes WHERE kind = 'erased'").fetchone()[0]
    assert left == 1  # the log's newest entry stays, whosever it is
    assert list(archive_folder(data, Job(prune=True), Clock(LATER)))[-1] == "pruned 0 decisions of loop 'loop'"
    assert files_with(data, SECRETS) == []
    again = erase(data, Wanted(decisions=(("loop", "d1"),)), at=LATER + DAY)
    assert [(c.decisions, c.outcomes, c.rewards) for c in again.erased] == [(1, 1, 1)]
    with closing(SqliteStore(data)) as store:
        assert replay(store, "loop", config_of(), progress=lambda _: None).matches


def told(data: Path) -> list[Any]:
    """What readers of the log say."""
    with closing(SqliteStore(data, read_only=True)) as store:
        found: list[Any] = [store.examples("loop", after=0, limit=999), store.decisions(after=0, limit=999)]
        found += [store.logged("loop", since=0, until=2**62, after=0, limit=999)]
        for i in range(60):
            try:
                found += [store.decision("loop", f"d{i}"), store.rewards("loop", f"d{i}")]
            except Gone as error:
                found.append(str(error))
        return found


def test_a_reader_of_before_reads_on(data: Path) -> None:
    """A store that was opened before the archive was rewritten finds the new files, and what is left in them."""
    sealed_and_pruned(data)
    with closing(SqliteStore(data, read_only=True)) as reader:
        old = reader.examples("loop", after=0, limit=20)
        erase(data)
        new = reader.examples("loop", after=0, limit=20)
        assert [e.outcome.position for e in new] == [e.outcome.position for e in old]
        assert {e.outcome.kind for e in new if e.decision.decision_id in {"d0", "d3", "d6"}} == {"erased"}
        reader._archive._group.cache_clear()
        reader._archive._bounds.cache_clear()
        assert reader.examples("loop", after=0, limit=20) == new


@pytest.mark.parametrize("limit", [1, 5, 100])
@pytest.mark.parametrize("place", ["decisions", "outcomes"])
def test_what_is_erased_while_it_is_read_is_left_out(data: Path, limit: int, place: str) -> None:
    """A reader whose query came before the erasure, and whose look into the archive after it, sees nothing half erased.

    The archive changes before her first decision is read there, or between it and its outcome. What the query itself
    had read by then is whole, as it was.
    """
    sealed_and_pruned(data)
    with closing(SqliteStore(data, read_only=True)) as reader:
        read = reader._archive.rows
        begun: list[str] = []

        def rows(loop: str, log: Any, positions: Any) -> Any:
            if log == place and not begun:
                begun.append(log)
                with suppress(StoreUnusable):  # for this reader is in the way of its last step
                    erase(data)
            return read(loop, log, positions)

        reader._archive.rows = rows  # type: ignore[method-assign]
        found, after = [], 0
        while chunk := reader.logged("loop", since=0, until=2**62, after=after, limit=limit):
            found += chunk
            after = chunk[-1].decision.position
        assert begun
    with closing(SqliteStore(data, read_only=True)) as reader:
        left = reader.logged("loop", since=0, until=2**62, after=0, limit=999)
    hers = [row for row in found if b"Ada" in row.decision.request]
    assert [row for row in found if row not in hers] == left
    assert all(
        int(row.decision.decision_id[1:]) >= 30 and row.decision.ranking for row in hers
    )  # these were not pruned
    assert {row.outcome.kind for row in hers if row.outcome} <= {"rewarded", "expired", "censored"}
    assert (hers == []) == (limit < 100)


def test_a_replay_that_an_erasure_overtakes_says_so(data: Path) -> None:
    """It does not blame the stored states for what was taken out of the log since it began."""
    with closing(SqliteStore(data, read_only=True)) as reader:
        config = read_config(reader.loops()[0].config)
        begun: list[int] = []

        def progress(position: int) -> None:
            if not begun:
                begun.append(position)
                erase(data)

        with pytest.raises(Conflict, match="erased while it was replayed: run again"):
            replay(reader, "loop", config, progress=progress)
        assert replay(reader, "loop", config, progress=progress).matches


def test_a_damaged_segment_is_named_and_left(data: Path) -> None:
    """A file that is not what was sealed is not replaced; what the log says holds, and a later run finishes."""
    sealed_and_pruned(data)
    segment = [s for s in Manifest(data).segments if s.log == "decisions"][-1]
    path = Manifest(data).path(segment)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"?")
    with pytest.raises(StoreUnusable, match=f"{path.name} is damaged"):
        erase(data)
    assert path.exists()
    path.write_bytes(whole)
    assert erase(data).resumed == 1
    assert files_with(data, SECRETS) == []


# Crashes


REWRITING = ((compact_module, "vacuum"), (places, "compact"))


def test_a_crash_at_any_step_is_made_good_by_the_next_run(tmp_path: Path) -> None:
    """Broken off before each write in turn, the next run ends with the same rows, files and states as an unbroken one.

    In between a server may run: what it says of her is 410, or what it said before.
    """
    whole = tmp_path / "whole"
    whole.mkdir()
    live(whole, config_of(), count=24)
    sealed_and_pruned(whole)
    shutil.copytree(whole, tmp_path / "0")
    erase(whole)
    wanted = content(whole)
    step, finished = 0, False
    while not finished:
        step += 1
        data = shutil.copytree(tmp_path / "0", tmp_path / str(step))
        with pytest.MonkeyPatch.context() as patch:
            begun = crash_at(step, patch, *REWRITING)
            try:
                erase(data)
            except Crashed:
                pass
            else:
                finished = begun() < step
        consistent(data)
        erase(data)
        found = content(data)
        assert found.keys() == wanted.keys()
        assert {name for name in wanted if found[name] != wanted[name]} == set(), step
        assert files_with(data, SECRETS) == []
        shutil.rmtree(data)
    assert step > 25


def consistent(data: Path) -> None:
    """Either nothing of her is erased, or all, and every line is the fold of what the log says."""
    with closing(SqliteStore(data)) as store:
        gone = set()
        for i in (0, 3, 21):
            try:
                store.decision("loop", f"d{i}")
            except Gone:
                gone.add(i)
        assert gone in (set(), {0, 3, 21})
        kinds = {e.outcome.kind for e in store.examples("loop", after=0, limit=99) if e.decision.decision_id == "d3"}
        assert kinds == ({"erased"} if gone else {"expired"})
        config = read_config(store.loops()[0].config)
        line = line_for(store, "loop", config)
        assert (line.why == "erasure") == bool(gone)
        served = open_line(store, "loop", config, line=line)
        while advance(store, "loop", served, through=store.log_position("loop"), limit=9) is not None:
            pass
        assert served.policy.dump() == fold(store, config, line).policy.dump()


# The command


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["erase", *words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output + str(done.exception)


def test_the_command_counts_erases_and_says_so(data: Path) -> None:
    """As an operator types it: first to count, then to erase, then again."""
    at = ("--data", str(data))
    counted = json.loads(run("--entity", "user=u0-Ada", "--dry-run", "--format", "json", *at))
    assert counted["erased"] == [{"loop": "loop", "decisions": 21, "outcomes": 20, "rewards": 5}]
    assert "would be erased" in run("--entity", "user=u0-Ada", "--dry-run", *at)
    said = run("--entity", "user=u0-Ada", "--decision", "loop/d1", *at)
    assert "22 decisions of loop 'loop' erased" in said
    assert "tainted from 1 on" in said
    assert "has learned what is left" in said
    assert "No decision is found" in run("--entity", "user=u0-Ada", "--loop", "loop", *at)
    assert "is not an entity" in run("--entity", "user", *at, code=1)
    assert "is not LOOP/ID" in run("--decision", "d1", *at, code=2)
    assert "name whom to erase" in run(*at, code=2)
