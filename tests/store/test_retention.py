"""Deletion: what a retention rule takes is gone, what it leaves is whole, wherever it breaks off."""

import functools
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from archived import ANY, DAY, NOW, delete_before, fill, prune_all, seal_all
from crashing import Crashed, crash_at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import decision, loop

from store.errors import Gone
from store.ledger.join import activate, drop_early, expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log import durable
from store.log.archive.delete import Limit as RetentionLimit
from store.log.archive.delete import delete
from store.log.archive.manifest import FILE, FOLDER, Manifest
from store.log.archive.prune import Limit, prune
from store.log.archive.seal import reading, seal
from store.log.backup import backup, restore
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import Store, write
from store.records import Decision, Example, Reward

RULES = RewardRules(window_s=1, correction_window_s=10**7)


class Told(NamedTuple):
    """What a store says: of each decision, and of each outcome in the log that can be read."""

    decisions: dict[tuple[str, str], list[object]]
    examples: dict[tuple[str, int], Example]


def told(store: Store, loops: str = "ab") -> Told:
    decisions: dict[tuple[str, str], list[object]] = {}
    examples: dict[tuple[str, int], Example] = {}
    for name in loops:
        for row in store.logged(name, since=0, until=2**62, after=0, limit=10**6):
            ident = row.decision.decision_id
            ways = (store.decision, store.rewards, store.outcomes, store.activated)
            decisions[name, ident] = [row, *(way(name, ident) for way in ways)]
        start = store.log_start(name)
        found = store.examples(name, after=start - 1, limit=10**6)
        assert [e.outcome.position for e in found] == list(range(start, store.log_position(name) + 1))
        examples |= {(name, example.outcome.position): example for example in found}
    everywhere = [(d.loop, d.decision_id) for d in store.decisions(after=0, limit=10**6)]
    assert sorted(everywhere) == sorted(decisions)
    return Told(decisions, examples)


def told_of(data: Path) -> Told:
    with closing(SqliteStore(data)) as store:
        return told(store)


def check_left(data: Path, before: Told) -> Told:
    """What can be read is a part of what could be, whole; what cannot is gone, and is the older part."""
    with closing(SqliteStore(data)) as store:
        left = told(store)
        assert left.decisions == {key: before.decisions[key] for key in left.decisions}
        assert left.examples == {key: before.examples[key] for key in left.examples}
        for name in "ab":
            gone = {i: said[1].position for (of, i), said in before.decisions.items() if of == name}
            stay = {i: gone.pop(i) for (of, i) in left.decisions if of == name}
            assert max(gone.values(), default=0) < min(stay.values())
            for ident in gone:
                with pytest.raises(Gone, match=f"'{ident}' of loop '{name}' was made on 1970-01-0. and deleted by"):
                    store.decision(name, ident)
            outcomes = [o.position for i in gone for o in before.decisions[name, i][3]]
            start = min(position for of, position in before.examples if of == name)
            assert store.log_start(name) == max([start, *(position + 1 for position in outcomes)])
    return left


def files(data: Path) -> set[Path]:
    return {path for path in (data / FOLDER).rglob("*") if path.name != FILE}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of two loops and five days, four of them sealed and pruned."""
    data = tmp_path / "data"
    data.mkdir()
    with closing(SqliteStore(data)) as store:
        fill(store, 400)
    seal_all(data)
    prune_all(data)
    return data


def live(data: Path, query: str) -> int:
    with closing(connect(data / FILE_NAME)) as connection:
        found: int = connection.execute(query).fetchone()[0]
        return found


def test_days_go_for_good_and_the_rest_stays_whole(data: Path) -> None:
    """Two days are deleted: their decisions are gone with all their rows and files, the others are as they were."""
    before = told_of(data)
    done = delete_before(data, "1970-01-03")
    left = check_left(data, before)
    assert len(before.decisions) - len(left.decisions) == 160
    assert [(s.log, s.day) for d in done.values() for s in d.stays] == []
    manifest = Manifest(data)
    for name in "ab":
        gone = done[name].segments
        assert {s.day for s in gone} == {"1970-01-01", "1970-01-02"}
        assert {s.log for s in gone} == {"decisions", "rewards", "outcomes", "activations"}
        assert not any(manifest.path(s).exists() for s in gone)
        assert [s.day for s in manifest.of(name, "decisions")] == ["1970-01-03", "1970-01-04"]
    assert not list((data / FOLDER).glob("loop=*/day=1970-01-0[12]"))
    assert live(data, "SELECT count(*) FROM decisions WHERE request = x''") == 160
    assert live(data, "SELECT count(*) FROM decisions") == 400
    again = delete_before(data, "1970-01-03")
    assert [d.segments for d in again.values()] == [[], []]


def test_what_is_sealed_is_not_sealed_again(data: Path) -> None:
    """After everything that may go is gone, days are sealed from where the archive had come, and positions go on."""
    delete_before(data, "1970-02-01")
    assert seal_all(data) == []
    with closing(SqliteStore(data)) as store:
        [made] = write(store, [lambda tx: record_decision(tx, decision("new", at=NOW), RULES, known_id=True)])
        assert made.decision.position == 401
        write(store, [lambda tx: record_reward(tx, reward("new", NOW), RULES)])
    sealed = seal_all(data, NOW + DAY)
    assert {s.day for s in sealed} == {"1970-01-05"}
    assert min(s.first for s in sealed if (s.loop, s.log) == ("a", "decisions")) > 300
    prune_all(data, Limit(due_before=NOW + DAY, checkpoint=10**9))
    before = told_of(data)
    delete_before(data, "1970-02-01", now=NOW + DAY)
    check_left(data, before)


def reward(decision_id: str, at: int, loop: str = "a", **changes: object) -> Reward:
    return Reward(loop=loop, decision_id=decision_id, value=1.0, received_at=at, occurred_at=at, **changes)


def test_requests_for_what_is_gone_are_answered(data: Path) -> None:
    """A decision id is not used twice, a reward id is a duplicate, and nothing new is taken for what is gone."""
    with closing(SqliteStore(data)) as store:
        request = store.decision("a", "d8").request
    delete_before(data, "1970-01-03", now=NOW)
    with closing(SqliteStore(data)) as store:
        again = msgspec.structs.replace(decision("d8", at=NOW), request=request)
        before = store.counts("a")
        answers = write(
            store,
            [
                lambda tx: record_decision(tx, again, RULES, known_id=True),
                lambda tx: record_reward(tx, reward("d8", NOW, reward_id="new"), RULES),
                lambda tx: activate(tx, "a", "d10", NOW, RULES, provisional=False),
                lambda tx: record_reward(tx, reward("d8", NOW, reward_id="r8-0"), RULES),
            ],
        )
        for answer in answers[:3]:
            assert "was made on 1970-01-01 and deleted by retention on 1970-01-05" in str(answer)
            assert isinstance(answer, Gone)
        assert answers[3].duplicate
        assert store.counts("a") == msgspec.structs.replace(before, duplicate_rewards=before.duplicate_rewards + 1)


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ({"due_before": DAY}, "a reward may still correct a decision in it"),
        ({"at_before": DAY + DAY // 2}, "the loop's budget or frequency caps look back to it"),
        ({"audited": 81}, "the propensity audit has not come so far"),
        ({"outcomes": 60}, "an outcome of its decisions is newer than the state"),
    ],
)
def test_what_is_needed_stays_and_it_is_said_why(data: Path, needed: dict[str, int], said: str) -> None:
    """The second day's decisions are needed: the first day goes, and the reason is told."""
    before = told_of(data)
    done = delete_before(data, "1970-01-04", msgspec.structs.replace(ANY, **needed))
    left = check_left(data, before)
    assert 0 < len(before.decisions) - len(left.decisions) <= 80
    stays = done["a"].stays[0]
    assert (stays.log, stays.day) == ("decisions", "1970-01-02")
    assert said in stays.why


def test_what_is_not_pruned_stays(tmp_path: Path) -> None:
    """What the log still has at hand is never deleted, nor is the decision of the newest outcome."""
    data = tmp_path / "data"
    data.mkdir()
    with closing(SqliteStore(data)) as store:
        fill(store, 40)
    seal_all(data)
    before = told_of(data)
    assert "4 of its decisions are not pruned" in delete_before(data, "1970-01-03")["a"].stays[0].why
    assert check_left(data, before) == before
    prune_all(data, Limit(due_before=DAY // 3, checkpoint=10**9))
    assert "of its decisions are not pruned" in delete_before(data, "1970-01-03")["a"].stays[0].why
    assert check_left(data, before) == before
    seal_all(data, NOW + DAY)
    prune_all(data, Limit(due_before=NOW + DAY, checkpoint=10**9))
    done = delete_before(data, "1970-01-09", msgspec.structs.replace(ANY, due_before=NOW + DAY, at_before=NOW + DAY))
    assert [s.why for s in done["a"].stays if s.log == "decisions"] == ["1 of its decisions are not pruned"]
    check_left(data, before)


def test_a_late_word_goes_with_its_decision(data: Path) -> None:
    """Late rewards and corrections of pruned decisions, still in the log, go too; only the newest reward waits."""
    with closing(SqliteStore(data)) as store:
        for name, ident in (("d8", "late"), ("d9", "later")):
            of = "ab"[int(name[1:]) % 2]
            late = reward(name, NOW, loop=of, reward_id=ident)
            write(store, [functools.partial(record_reward, reward=late, rules=RULES)])
    before = told_of(data)
    corrected = max(o.position for o in before.decisions["a", "d8"][3])
    assert before.examples["a", corrected].outcome.kind == "corrected"
    done = delete_before(data, "1970-01-03")
    assert done["a"].stays[0].why == "it has the decision of the newest outcome"
    with closing(SqliteStore(data)) as store:
        made = write(store, [lambda tx: record_decision(tx, decision("new", at=NOW), RULES, known_id=True)])[0]
        write(store, [lambda tx: record_reward(tx, reward("new", NOW), RULES)])
        newest = reward("d8", NOW + 1, reward_id="newest")
        assert made.decision.position == 401
        write(store, [lambda tx: record_reward(tx, newest, RULES)])
    before = told_of(data)
    delete_before(data, "1970-01-03", now=NOW)
    with closing(SqliteStore(data)) as store:
        assert store.log_start("a") == corrected + 1
        known = write(store, [lambda tx: [tx.has_reward("a", ident) for ident in ("late", "newest", "other")]])[0]
        assert known == [True, True, False]
    assert live(data, "SELECT count(*) FROM rewards WHERE decision_id = 'd8'") == 1
    left = check_left(data, before)
    seal_all(data, NOW + DAY)
    prune_all(data, Limit(due_before=NOW, checkpoint=10**9))
    assert check_left(data, before) == left


def test_rewards_without_a_decision_go_with_their_day(tmp_path: Path) -> None:
    """What waited in vain goes with the decisions before it; one that came after them stays, and so does its file."""
    data = tmp_path / "data"
    data.mkdir()
    with closing(SqliteStore(data)) as store:
        fill(store, 40, days=2)
        for ident, at in (("vain", DAY), ("evening", 2 * DAY - 1)):
            early = reward("?" + ident, at, reward_id=ident)
            write(store, [functools.partial(record_reward, reward=early, rules=RULES)])
        write(store, [lambda tx: drop_early(tx, "a", 2 * DAY, limit=9)])
        settle(store, "new", 3 * DAY)
    seal_all(data)
    prune_all(data)
    done = delete_before(data, "1970-01-03")["a"]
    assert [(s.log, s.day) for s in done.stays] == [("rewards", "1970-01-02")]
    with closing(SqliteStore(data)) as store:
        assert [len(store.rewards("a", "?" + ident)) for ident in ("vain", "evening")] == [0, 1]
        assert write(store, [lambda tx: [tx.has_reward("a", i) for i in ("vain", "evening")]]) == [[True, True]]
        for name in ("?vain", "?evening", "newest"):
            settle(store, name, 3 * DAY + 1)
    before = told_of(data)
    assert [r.status for r in before.decisions["a", "?evening"][2]] == ["dropped", "joined"]
    seal_all(data)
    assert prune_all(data)["a"] == 3
    assert told_of(data) == before


def settle(store: Store, name: str, at: int) -> None:
    """Log a decision of loop a and its reward."""
    write(store, [functools.partial(record_decision, decision=decision(name, at=at), rules=RULES, known_id=True)])
    write(store, [functools.partial(record_reward, reward=reward(name, at + 2), rules=RULES)])


def test_readers_of_before_are_told(data: Path) -> None:
    """A store that was opened to read before sees what is left, and is told of what it was about to read."""
    reader = SqliteStore(data, read_only=True)
    before = told(reader)
    delete_before(data, "1970-01-03")
    left = told(reader)
    assert 0 < len(left.decisions) < len(before.decisions)
    reader._archive._group.cache_clear()
    with pytest.raises(Gone, match="row 1 of the decisions of loop 'a' was deleted by a retention rule: begin again"):
        reader._archive.rows("a", "decisions", [1])
    reader.close()


def test_a_reader_in_between_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the log says that days are gone, a reader who was at them is told so, with their files still there."""
    reader = SqliteStore(data, read_only=True)
    monkeypatch.setattr(durable, "append", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        delete_before(data, "1970-01-03")
    # As if it had looked how far the log is deleted just before it was.
    monkeypatch.setattr(reader, "_deleted", lambda *args: 0)
    for read in (
        lambda: reader.logged("a", since=0, until=2**62, after=0, limit=5),
        lambda: reader.decision("a", "d0"),
        lambda: reader.outcomes("a", "d0"),
    ):
        with pytest.raises(Gone, match="'d0' of loop 'a' was made on 1970-01-01 and deleted"):
            read()
    reader.close()


def test_a_backup_brings_back_what_was_left(data: Path, tmp_path: Path) -> None:
    """A backup after a deletion holds what is left, and restores to it; one from before holds what there was."""
    before = told_of(data)
    backup(data, tmp_path / "older", lambda: NOW)
    delete_before(data, "1970-01-03")
    left = check_left(data, before)
    made = backup(data, tmp_path / "backup", lambda: NOW)
    assert not [file.path for file in made.files if "1970-01-01" in file.path]
    restore(tmp_path / "backup", tmp_path / "restored")
    assert check_left(tmp_path / "restored", before) == left
    restore(tmp_path / "older", tmp_path / "whole")
    assert told_of(tmp_path / "whole") == before


# Crashes


def test_a_crash_at_any_step_leaves_what_the_next_run_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletion ends before each commit, manifest entry, removal and sync in turn: all that stays is whole, at once."""
    first = tmp_path / "0"
    first.mkdir()
    with closing(SqliteStore(first)) as store:
        fill(store, 40)
    seal_all(first)
    prune_all(first)
    before = told_of(first)
    whole = shutil.copytree(first, tmp_path / "whole")
    delete_before(whole, "1970-01-03")
    wanted = check_left(whole, before)
    step, finished, seen = 0, False, set()
    while not finished:
        step += 1
        data = shutil.copytree(first, tmp_path / str(step))
        with monkeypatch.context() as patch:
            begun = crash_at(step, patch)
            try:
                delete_before(data, "1970-01-03")
            except Crashed:
                pass
            else:
                finished = begun() < step
        seen.add(len(check_left(data, before).decisions))
        copy = tmp_path / f"{step}-restored"
        backup(data, tmp_path / f"{step}-backup", lambda: NOW)
        restore(tmp_path / f"{step}-backup", copy)
        for folder in (data, copy):
            assert seal_all(folder) == []
            delete_before(folder, "1970-01-03")
            assert check_left(folder, before) == wanted
            assert files(folder) == {folder / path.relative_to(whole) for path in files(whole)}
            assert Manifest(folder).segments == Manifest(whole).segments
            prune_all(folder)
            assert check_left(folder, before) == wanted
    assert step > 20
    assert len(seen) >= 5  # a day of a loop at a time, of two loops


# Whatever comes in between


class _World:
    """Days of random traffic on one folder, and a second store that forgets nothing."""

    def __init__(self, folder: Path) -> None:
        self.data, self.now, self.made = folder, 0, 0
        self.rules = RewardRules(window_s=3600, correction_window_s=2 * 86_400)
        for name in ("data", "whole"):
            (folder / name).mkdir()
        self.stores = [SqliteStore(folder / name) for name in ("data", "whole")]
        for store in self.stores:
            write(store, [lambda tx: tx.put_loop(loop("a"))])

    def both(self, operation: Callable) -> None:
        for store in self.stores:
            write(store, [operation])

    def play(self, step: tuple) -> None:
        match step:
            case "decide", many, deferred:
                for _ in range(many):
                    made = decision(f"d{self.made}", at=self.now, window=3600 * 10**6, deferred=deferred)
                    self.made += 1
                    self.now += 1000
                    self.both(functools.partial(self._decide, made=made))
            case "reward", back:
                name = f"d{max(0, self.made - back)}"
                given = reward(name, self.now, reward_id=f"r{self.now}-{back}")
                self.both(functools.partial(record_reward, reward=given, rules=self.rules))
            case "wait", hours:
                self.now += hours * 3600 * 10**6
                self.both(functools.partial(expire, now=self.now, rules_of=lambda name: self.rules, limit=10**6))
            case "prune", keep:
                self.prune(keep)
            case "delete", days:
                self.delete(days)

    def _decide(self, tx, made: Decision) -> None:
        record_decision(tx, made, self.rules, known_id=True, provisional=True)

    def prune(self, keep: int) -> None:
        data = self.data / "data"
        with reading(data / FILE_NAME) as connection:
            seal(data, connection, lambda: self.now)
        limit = Limit(due_before=self.now - 2 * DAY, checkpoint=self.stores[0].log_position("a") - keep)
        with closing(connect(data / FILE_NAME)) as connection:
            prune(data, connection, {"a": limit})
        self.reopen()

    def delete(self, days: int) -> None:
        limit = RetentionLimit(
            before=date.fromordinal(date(1970, 1, 1).toordinal() + max(0, self.now // DAY - days)),
            due_before=self.now - 2 * DAY,
            at_before=self.now,
            audited=10**9,
            outcomes=self.stores[0].log_position("a"),
            state="",
        )
        with closing(connect(self.data / "data" / FILE_NAME)) as connection:
            delete(self.data / "data", self.stores[0], connection, {"a": limit}, self.now)
        self.reopen()

    def reopen(self) -> None:
        self.stores[0].close()
        self.stores[0] = SqliteStore(self.data / "data")

    def check(self) -> None:
        """All that can be read is as if nothing had been deleted, and no entry of the log is missing in between."""
        left, whole = (told(store, "a") for store in self.stores)
        assert left.decisions == {key: whole.decisions[key] for key in left.decisions}
        assert left.examples == {key: whole.examples[key] for key in left.examples}
        gone = [said[1].position for key, said in whole.decisions.items() if key not in left.decisions]
        assert max(gone, default=0) < min((said[1].position for said in left.decisions.values()), default=10**9)


steps = st.one_of(
    st.tuples(st.just("decide"), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("reward"), st.integers(0, 12)),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 24, 60])),
    st.tuples(st.just("prune"), st.integers(0, 5)),
    st.tuples(st.just("delete"), st.integers(0, 3)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=10, max_size=40))
def test_no_entry_is_missing_in_between_whatever_is_deleted(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple]
) -> None:
    """Decisions, late rewards, prunes and deletions in any order: the log can be read from one place to its end."""
    world = _World(tmp_path_factory.mktemp("world"))
    for step in script:
        world.play(step)
    world.play(("decide", 1, False))
    world.play(("wait", 60))
    world.prune(0)
    world.delete(0)
    world.check()
    for store in world.stores:
        store.close()
