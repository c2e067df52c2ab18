"""After a deletion, a loop serves, learns and replays on from what is left, and says what it can no longer do."""

import asyncio
import json
import sys
from collections import Counter
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient
from support import calm, seeded_service
from typer.testing import CliRunner

from bandit.archive import Job, archive_folder
from bandit.cli.main import app
from bandit.decide import DecisionRequest
from bandit.erasure.find import Wanted
from bandit.erasure.run import erase_folder
from bandit.exploration import History
from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, line_name, open_line
from bandit.learn.fork import Fork, fork
from bandit.learn.learner import Learner
from bandit.learn.lines import find_line
from bandit.learn.replay import Replay, replay
from bandit.policies.beta import BetaTs
from bandit.service.service import Service
from bandit.service.serving import Serving
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, read_config
from bandit.wiring import open_app
from store.errors import Gone
from store.ledger.rules import RewardRules
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store, write
from store.records import SECOND, Example, Relearning
from store.registry.statefile import digest

DAY = 86_400 * SECOND
FIRST = 1000
"""The day, from 1970 on, on which each world begins."""
PER_DAY = 12
REWARD = {"window_s": 3600, "correction_window_s": 40_000}
KINDS: dict[str, dict[str, Any]] = {
    "linear_ts": {"policy": {"kind": "linear_ts"}},
    "forgetting": {"policy": {"kind": "linear_ts"}, "learning": {"decay": 0.98}},
    "waiting": {"policy": {"kind": "linear_ts"}, "learning": {"delay": "wait"}},
    "logistic_ts": {"policy": {"kind": "logistic_ts"}, "learning": {"relearn_s": 86_400}},
    **(
        {"vw": {"policy": {"kind": "vw"}, "learning": {"relearn_s": 86_400}}} if sys.version_info < (3, 13) else {}
    ),  # as in pyproject.toml
}


DAMAGE = "UPDATE checkpoints SET state = x'00' WHERE position = (SELECT {}(position) FROM checkpoints)"


class Clock:
    """A clock that moves when it is told to."""

    now = FIRST * DAY

    def __call__(self) -> int:
        return self.now


def config_of(name: str, *, rarely: bool = False, **parts: Any) -> LoopConfig:
    """A config that has its states stored with almost each outcome, or rarely."""
    given = KINDS[name] | parts
    seconds = {"seconds": 80_000} if rarely else {}
    learning = {"checkpoint": {"outcomes": 10, **seconds}, **given.get("learning", {})}
    return msgspec.convert({"reward": REWARD, **given, "learning": learning}, LoopConfig)


def live(data: Path, clock: Clock, days: int, config: LoopConfig | None = None, more: int = 0) -> None:
    """Let a server run for days and some more decisions: rewards in time and late, silence, and each day's calm."""

    async def scenario() -> None:
        with closing(SqliteStore(data)) as store:
            service = seeded_service(store, clock)
            await service.start()
            if config is not None:
                await service.put_loop("loop", config, None)
            for _ in range(days):
                await _day(service, clock)
            await _day(service, clock, more)
            await service.close()

    asyncio.run(asyncio.wait_for(scenario(), 120))


async def _day(service: Service, clock: Clock, decisions: int = PER_DAY) -> None:
    late: list[str] = []
    for i in range(decisions):
        body = msgspec.json.encode(
            {
                "context": {"x": (i + clock.now // DAY) % 5},
                "entities": {"user": f"u{i % 3}"},
                "actions": [{"id": "a"}, {"id": "b"}],
            }
        )
        recorded = await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
        clock.now += DAY // PER_DAY // 2
        if i % 3 == 1:
            await service.reward("loop", RewardRequest(recorded.decision.decision_id, float(i % 2)))
        late.append(recorded.decision.decision_id)
        clock.now += DAY // PER_DAY // 2
        if i % 3 == 2:
            await service.reward("loop", RewardRequest(late[i - 2], 1.0, reward_id=late[i - 2]))
        await calm(service)
    end = service._store.log_position("loop")
    assert (await service.status("loop", end, 30)).learned_through == end


def before(day: int) -> date:
    """The first day that stays, counted from the world's first."""
    return date(1970, 1, 1) + timedelta(days=FIRST + day)


def retire(data: Path, clock: Clock, day: int) -> list[str]:
    return list(archive_folder(data, Job(prune=True, delete_before=before(day)), clock))


def replayed(data: Path, config: LoopConfig) -> Replay:
    with closing(SqliteStore(data, read_only=True)) as store:
        return replay(store, "loop", config, progress=lambda position: None)


def states(data: Path, config: LoopConfig) -> dict[int, str]:
    """The digest of the line's state at each position from its oldest state that leads on, and at its stored ones."""
    with closing(SqliteStore(data, read_only=True)) as store:
        end, found = store.log_position("loop"), {}
        for checkpoint in store.checkpoints("loop", line_name(config)):
            learner = open_line(store, "loop", config, through=checkpoint.position)
            assert learner.position == checkpoint.position
            found[learner.position] = digest(learner.policy.dump())
            if checkpoint.position >= store.log_start("loop") - 1:
                try:
                    advanced(store, learner, end)
                except Gone:
                    continue
                found[end] = digest(learner.policy.dump())
        return found


def advanced(store: Store, learner: Learner, through: int) -> Learner:
    while advance(store, "loop", learner, through=through, limit=7) is not None:
        pass
    assert learner.position == through
    return learner


@pytest.mark.parametrize("name", KINDS)
def test_every_state_that_leads_on_is_the_same_after_a_deletion(tmp_path: Path, name: str) -> None:
    """The line opens as before and replays to the bit from its oldest state, deletion after deletion."""
    config, clock = config_of(name, rarely=True), Clock()
    live(tmp_path, clock, 13, config, more=9)
    whole = replayed(tmp_path, config)
    assert (whole.matches, whole.start, whole.reason, whole.unchecked) == (True, 0, None, [])
    known, past = states(tmp_path, config), 0
    for more in (3, 4, 0):
        said = retire(tmp_path, clock, (clock.now // DAY - FIRST) - 1)
        assert any(line.startswith("deleted ") for line in said), said
        with closing(SqliteStore(tmp_path, read_only=True)) as store:
            start = store.log_start("loop") - 1
            stored = [c.position for c in store.checkpoints("loop", line_name(config))]
            anew = store.relearnings("loop", line_name(config))
            assert f"its outcome log begins at {start + 1:,} now" in "".join(said)
        assert start > past
        assert states(tmp_path, config) == known
        found = replayed(tmp_path, config)
        assert found.matches
        assert {each.verdict for each in found.checkpoints} == {"identical"}
        assert "it is the oldest stored state that leads on, for decisions with outcomes up to" in found.reason
        leading = [p for p in stored if p > max([start - 1, *(r.position for r in anew if r.since < start)])]
        assert found.start == min(leading)
        assert sorted([*found.unchecked, *(each.position for each in found.checkpoints)]) == sorted(stored)
        assert found.outcomes == max(stored) - found.start > 0
        past = start
        live(tmp_path, clock, more, more=more * 3)
        assert replayed(tmp_path, config).matches
        if "relearn_s" in KINDS[name].get("learning", {}) and more:
            with closing(SqliteStore(tmp_path, read_only=True)) as store:
                assert store.relearnings("loop", line_name(config))[-1].since == start
        known = states(tmp_path, config)


def test_verification_says_what_cannot_be_made_again(tmp_path: Path) -> None:
    """A decision of a state that can be come to is made again; one of an older state is not, and it says why."""
    config, clock = config_of("linear_ts"), Clock()
    live(tmp_path, clock, 14, config)
    retire(tmp_path, clock, 13)

    async def scenario() -> None:
        with closing(SqliteStore(tmp_path)) as store:
            service = seeded_service(store, clock)
            await service.start()
            start, seen = store.log_start("loop") - 1, set()
            oldest = min(c.position for c in store.checkpoints("loop", line_name(config)))
            for row in store.logged("loop", since=0, until=2**62, after=0, limit=999):
                found = (await service.decision("loop", row.decision.decision_id, verify=True)).verification
                can = int(row.decision.model_version.rpartition("@")[2]) >= oldest
                assert found.matches == can, found
                if not can:
                    assert f"earlier days were deleted, the outcome log begins at {start + 1}" in found.reason
                seen.add(can)
            assert seen == {True, False}
            await service.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_line_that_opens_after_a_deletion_learns_what_is_left(tmp_path: Path) -> None:
    """It begins where the log does, says so, replays from there to the bit, and survives the next deletion."""
    clock, config, other = Clock(), config_of("linear_ts"), config_of("linear_ts", policy={"kind": "linear_ucb"})
    live(tmp_path, clock, 14, config)
    retire(tmp_path, clock, 13)

    async def scenario() -> tuple[object, object]:
        with closing(SqliteStore(tmp_path)) as store:
            service = seeded_service(store, clock)
            await service.start()
            assert (await service.status("loop")).learned_from == 1
            opens = service.changes("loop", other, None).opens
            await service.put_loop("loop", other, None)
            status = await service.status("loop", store.log_position("loop"), 10)
            await service.close()
            return opens, status

    opens, status = asyncio.run(asyncio.wait_for(scenario(), 60))
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        start, end = store.log_start("loop") - 1, store.log_position("loop")
        assert (opens.position, opens.outcomes) == (start, end - start)
        assert (status.log_start, status.learned_from, status.learned_through) == (start + 1, start + 1, end)
        assert {c.began for c in store.checkpoints("loop", line_name(other))} == {start}
    found = replayed(tmp_path, other)
    assert (found.matches, found.start, found.unchecked) == (True, start, [])
    assert found.reason.startswith("the line began there, for decisions with outcomes up to")
    assert found.outcomes == end - start
    live(tmp_path, clock, 6)
    assert replayed(tmp_path, other).start == start
    known = states(tmp_path, other)
    retire(tmp_path, clock, clock.now // DAY - FIRST - 1)
    found = replayed(tmp_path, other)
    assert found.matches
    assert found.start > start
    assert states(tmp_path, other) == known
    # The first line has no state that leads on: there is nothing to replay, and it begins anew when it is chosen again.
    runner = CliRunner()
    with pytest.raises(Gone, match=r"cannot be replayed: decisions with outcomes up to .* When it serves, it learns"):
        runner.invoke(
            app,
            ["replay", "loop", "--data", str(tmp_path), "--line", line_name(config)],
            catch_exceptions=False,
        )
    live(tmp_path, clock, 0, config, more=2)
    again = replayed(tmp_path, config)
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        assert again.matches
        assert again.start == store.log_start("loop") - 1
        assert len(again.unchecked) > 0
        old = [row.decision for row in store.logged("loop", since=0, until=2**62, after=0, limit=999)]
    assert {d.model_version.partition("@")[0] for d in old} == {line_name(config), line_name(other)}


@pytest.mark.parametrize("name", ["linear_ts", "logistic_ts"])
def test_a_line_that_began_anew_is_not_taken_for_the_one_before(tmp_path: Path, name: str) -> None:
    """A line whose states are lost begins anew without what it once learned anew, and is not held against that."""
    config, other, clock = config_of(name), config_of("linear_ts", policy={"kind": "linear_ucb"}), Clock()
    live(tmp_path, clock, 14, config)
    live(tmp_path, clock, 0, other, more=3)
    retire(tmp_path, clock, 13)
    with closing(connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("DELETE FROM checkpoints WHERE line = ?", (line_name(config),))
    with closing(SqliteStore(tmp_path)) as store:
        start, end = store.log_start("loop") - 1, store.log_position("loop")
    live(tmp_path, clock, 0, config, more=3)

    async def scenario() -> set[str | None]:
        with closing(SqliteStore(tmp_path)) as store:
            service, seen = seeded_service(store, clock), set()
            await service.start()
            for row in store.logged("loop", since=0, until=2**62, after=0, limit=999):
                line, _, position = row.decision.model_version.rpartition("@")
                if line == line_name(config) and int(position) >= start:
                    found = (await service.decision("loop", row.decision.decision_id, verify=True)).verification
                    old = row.decision.at < clock.now - DAY // 4
                    assert found.matches == (not old), found
                    assert ("its line began anew behind outcome" in (found.reason or "")) == old
                    assert old or int(position) >= end
                    seen.add(old)
            await service.close()
            return seen

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == {True, False}


def test_a_decision_is_learned_whole_or_not_at_all(tmp_path: Path) -> None:
    """A line that began behind a decision's first outcome learns nothing of its later ones, nor counts them."""
    clock, config = Clock(), config_of("linear_ts", policy={"kind": "beta_ts"})
    live(tmp_path, clock, 2, config)
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        examples = store.examples("loop", after=0, limit=999)
    began = next(e.outcome.position for e in examples if e.outcome.root) - 1
    late = Learner("line", BetaTs.create(BetaTs.config_type()), RewardRules(), began, began=began)
    late.fold(examples[began:])
    kept = [e for e in examples if (e.outcome.root or e.outcome.position) > began]
    assert len(kept) < len(examples) - began
    alone = Learner("line", BetaTs.create(BetaTs.config_type()), RewardRules())
    positions = {e.outcome.position: i for i, e in enumerate(kept, start=1)}
    alone.fold(_renumbered(e, positions) for e in kept)
    assert late.settled == alone.settled < sum(e.outcome.kind in {"rewarded", "expired"} for e in examples)
    assert late.position == len(examples)
    assert late.policy.dump() == alone.policy.dump()
    # Learned anew, it is the same: what was before does not come in by a later word.
    assert Serving(config, begin_line(_Lines(began), "loop", config), History(), None, 0).unsaved == 0
    anew = begin_line(_Lines(began), "loop", config, 0)
    anew.position = len(examples)
    anew.relearnings[anew.position] = began
    assert (anew.relearned, anew.learns_from) == (began, began + 1)


def _renumbered(example: Example, positions: dict[int, int]) -> Example:
    outcome = example.outcome
    root = None if outcome.root is None else positions[outcome.root]
    changed = msgspec.structs.replace(outcome, position=positions[outcome.position], root=root)
    return Example(changed, example.decision, example.before)


class _Lines:
    """A store that has no line yet."""

    def __init__(self, start: int) -> None:
        self._start = start

    def log_start(self, loop: str) -> int:  # the port's
        return self._start + 1

    def relearnings(self, loop: str, line: str) -> list[Relearning]:  # the port's
        return []


def test_guards_go_on_from_what_is_left(tmp_path: Path) -> None:
    """Budget, frequency caps and the gate stand where they stood; the ceiling counts the outcomes that are left."""
    guarded = {
        "reward": {**REWARD, "range": [0, 1]},
        "exploration": {
            "budget": {"share": 0.9, "window_s": 100_000},
            "ceiling": {"probability": 0.4, "outcomes": 12},
            "conservative": {"alpha": 0.5},
        },
        "guards": [{"kind": "frequency_cap", "max": 40, "window_s": 90_000, "entity": "user"}],
    }
    config, clock = config_of("linear_ts", **guarded), Clock()
    live(tmp_path, clock, 13, config)

    async def look() -> tuple[Any, list[object], int]:
        with closing(SqliteStore(tmp_path)) as store:
            service = seeded_service(store, clock)
            await service.start()
            runtime = service._loops["loop"]
            status = await service.status("loop")
            served = [runtime.frequency.spent({"user": f"u{i}"}, "ab", clock.now) for i in range(3)]
            outcomes = store.examples("loop", after=store.log_start("loop") - 1, limit=9999)
            settled = Counter(e.decision.served[0] for e in outcomes if e.outcome.kind in {"rewarded", "expired"})
            established = sum(count >= 12 for count in settled.values())
            assert runtime.history.learned.position == store.log_position("loop")
            await service.close()
            return status, served, established

    whole, served, _ = asyncio.run(look())
    said = retire(tmp_path, clock, 12)
    left, served_now, established = asyncio.run(look())
    assert any(line.startswith("deleted ") for line in said)
    assert left.log_start > 1
    assert served_now == served
    assert left.exploration.budget == whole.exploration.budget
    assert left.exploration.conservative == whole.exploration.conservative
    assert whole.exploration.ceiling.established == 2
    assert left.exploration.ceiling.established == established == 1
    assert (left.model_version, left.learned_from) == (whole.model_version, 1)
    # A window that reaches as far back as the days that are to go keeps them.
    far = {"exploration": {"budget": {"share": 0.9, "window_s": 11 * 86_400}}}
    live(tmp_path, clock, 1, config_of("linear_ts", **far))
    kept = retire(tmp_path, clock, 13)
    assert any("the loop's budget or frequency caps look back to it" in line for line in kept), kept


def test_nothing_goes_that_a_line_has_yet_to_learn(tmp_path: Path) -> None:
    """Without a stored state, or with one that is to learn the log anew, the whole log stays, and it is said why."""
    config, clock = config_of("logistic_ts"), Clock()
    live(tmp_path, clock, 6, config)
    with closing(SqliteStore(tmp_path)) as store:
        end = store.log_position("loop")
        assert store.relearnings("loop", line_name(config))[-1].position == end
        state = digest(advanced(store, open_line(store, "loop", config), end).policy.dump())
    said = retire(tmp_path, clock, 6)
    assert f"an outcome of its decisions is newer than any state of line {line_name(config)} that leads on" in said[-3]
    assert "nothing to delete of loop 'loop'" in said
    with closing(SqliteStore(tmp_path)) as store:
        assert store.log_start("loop") == 1
        learner = open_line(store, "loop", config)
        while learner.relearned is not None:
            advance(store, "loop", learner, through=end + 1, limit=50)
        assert digest(learner.policy.dump()) == state
        [record] = store.loops()
        other = msgspec.json.encode({**msgspec.json.decode(record.config), "policy": {"kind": "bootstrap_ts"}})
        write(store, [lambda tx: tx.put_loop(msgspec.structs.replace(record, config=other, revision=2))])
    said = retire(tmp_path, clock, 6)
    assert f"newer than any state of line {line_name(read_config(other))} that leads on" in said[-3]


def test_a_damaged_state_is_passed_over_and_told(tmp_path: Path) -> None:
    """After a deletion the line opens from another state, and a replay fails for the damaged one."""
    config, clock = config_of("linear_ts"), Clock()
    live(tmp_path, clock, 14, config)
    known = states(tmp_path, config)
    retire(tmp_path, clock, 13)
    with closing(connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(DAMAGE.format("max"))
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        learner = advanced(store, open_line(store, "loop", config), max(known))
        assert digest(learner.policy.dump()) == known[max(known)]
    assert not replayed(tmp_path, config).matches
    with closing(connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(DAMAGE.format("min"))
    found = replayed(tmp_path, config)
    assert (found.matches, [(each.position, each.verdict) for each in found.checkpoints]) == (
        False,
        [(min(known), "differs")],
    )


def test_what_is_gone_is_410(tmp_path: Path) -> None:
    """Each route that names a deleted decision says so, stores nothing, and knows its ids."""
    live(tmp_path, Clock(), 4, config_of("linear_ts"))
    with closing(SqliteStore(tmp_path)) as store:
        body = json.loads(store.decision("loop", "id-0").request) | {"decision_id": "id-0"}
    late = Clock()
    late.now += 9 * DAY
    retire(tmp_path, late, 2)
    with open_app(tmp_path) as served, TestClient(served) as client:
        loop = "/v1/loops/loop"
        before = client.get(f"{loop}/status").json()
        refused = [
            client.get(f"{loop}/decisions/id-0"),
            client.get(f"{loop}/decisions/id-0?verify=true"),
            client.post(f"{loop}/decisions", json=body),
            client.post(f"{loop}/rewards", json={"decision_id": "id-0", "value": 1, "reward_id": "new"}),
            client.post(f"{loop}/decisions/id-0/activate"),
        ]
        for response in refused:
            assert response.status_code == 410
            assert response.json()["title"] == "Gone"
            assert "was made on 1972-09-27 and deleted by retention on 1972-10-06" in response.json()["detail"]
        counts = ("decisions", "rewards", "reward_counts", "exploration")
        assert [client.get(f"{loop}/status").json()[name] for name in counts] == [before[name] for name in counts]
        known = client.post(f"{loop}/rewards", json={"decision_id": "id-0", "value": 1, "reward_id": "id-0"})
        assert (known.status_code, known.json()["duplicate"]) == (202, True)
        assert client.get(f"{loop}/decisions/id-30").status_code == 200


def test_the_commands_say_what_is_missing(tmp_path: Path) -> None:
    """`archive` tells what went and what stays, `export` where the log begins, `replay` where it began and why."""
    config, clock, runner = config_of("linear_ts"), Clock(), CliRunner()
    live(tmp_path, clock, 14, config)
    out = tmp_path / "log.parquet"
    words = ["export", "loop", "--data", str(tmp_path), "--out", str(out)]
    assert "not whole" not in runner.invoke(app, words, catch_exceptions=False).output
    command = ["archive", "--data", str(tmp_path), "--prune", "--delete-before", before(3).isoformat()]
    said = runner.invoke(app, command, catch_exceptions=False).output
    assert f"deleted 9 files of {before(0)} to {before(2)} of loop 'loop'" in said, said
    told = runner.invoke(app, words, catch_exceptions=False)
    assert f"It is not whole: the log of loop 'loop' begins on {before(3)}, with decision 'id-36'" in told.stderr
    assert f"{out}: {14 * 12 - 36} decisions" in told.stdout
    since = runner.invoke(app, [*words, "--since", before(3).isoformat()], catch_exceptions=False)
    assert "not whole" not in since.output
    shown = runner.invoke(app, ["replay", "loop", "--data", str(tmp_path), "--verify"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "It began behind outcome" in shown.stdout
    words = ["replay", "loop", "--data", str(tmp_path), "--format", "json"]
    found = json.loads(runner.invoke(app, words, catch_exceptions=False).stdout)
    assert found["from"] > 36
    assert found["unchecked"] == [found["from"]]
    assert found["reason"].startswith("it is the oldest stored state that leads on")


U1 = Wanted(entities=(("user", "u1"),))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("first", ["deleted", "erased"])
def test_erasing_and_deleting_go_together(tmp_path: Path, name: str, first: str) -> None:
    """In either order: what is left replays bit for bit, serves, learns on, and nothing of u1 is read any more."""
    clock, config = Clock(), config_of(name)
    live(tmp_path, clock, 5, config, more=9)
    erased_at = clock.now
    if first == "deleted":
        said = retire(tmp_path, clock, clock.now // DAY - FIRST - 1)
        report = erase_folder(tmp_path, U1, clock, lambda _: None)
    else:
        report = erase_folder(tmp_path, U1, clock, lambda _: None)
        live(tmp_path, clock, 2, more=9)  # states behind the erasure, on which deleting may lean
        said = retire(tmp_path, clock, clock.now // DAY - FIRST - 1)
    assert any(line.startswith("deleted") for line in said), said
    assert report.erased[0].decisions > 0
    [relearned] = report.relearned
    assert relearned.line == f"{line_name(config)}.2"
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        # u1 was there from the first day on: no state without them leads over what was deleted first
        assert relearned.learns_from == (store.log_start("loop") if first == "deleted" else 1)
    live(tmp_path, clock, 1)
    found = replayed(tmp_path, config)
    assert (found.line, found.matches, found.tainted) == (relearned.line, True, None)
    assert found.checkpoints
    with closing(SqliteStore(tmp_path, read_only=True)) as store:
        assert store.log_start("loop") > 1
        end = store.log_position("loop")
        known = find_line(store, "loop", relearned.line)
        served = open_line(store, "loop", config, line=known.line)
        assert (served.line, served.position) == (relearned.line, end)
        left = [row.decision for row in store.logged("loop", since=0, until=2**62, after=0, limit=999)]
        assert left
        assert all(b'"u1"' not in d.request for d in left if d.at < erased_at)
    with closing(SqliteStore(tmp_path)) as store:
        start = store.log_start("loop")
        with pytest.raises(Gone, match="deleted"):
            fork(store, Fork(loop="loop", name="early", until=FIRST * DAY), now=0, keep=9, progress=lambda _: None)
        moment = clock.now - DAY
        made = fork(store, Fork(loop="loop", name="late", until=moment), now=0, keep=9, progress=lambda _: None)
        assert start <= (made.after or 0) < end
        alone = Fork(loop="loop", name="alone", without=(("user", "u2"),))
        assert fork(store, alone, now=0, keep=9, progress=lambda _: None).passed_over > 0
        for other in ("late", "alone"):
            known = find_line(store, "loop", other)
            again = replay(store, "loop", known.config, progress=lambda _: None, line=known.line)
            assert again.matches, other
