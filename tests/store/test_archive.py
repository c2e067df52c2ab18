"""The archive: sealing and pruning lose nothing and change nothing that a reader sees, wherever they break off."""

import itertools
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
import pytest
from archived import ALL, DAY, NOW, everything, fill, opened, prune_all, seal_all
from crashing import Crashed, crash_at
from support import decision

from store.errors import Gone, InvalidInput, StoreUnusable
from store.ledger.join import record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log import durable
from store.log.archive import seal as seal_module
from store.log.archive import segments as segments_module
from store.log.archive.manifest import FILE, FOLDER, Deleted, Manifest
from store.log.archive.prune import Limit, prune
from store.log.archive.seal import reading, seal
from store.log.archive.segments import read_segment
from store.log.backup import backup, restore
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.ports import write
from store.records import Outcome, Reward


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of two loops and five days."""
    data = tmp_path / "data"
    data.mkdir()
    store = SqliteStore(data)
    fill(store, 400)
    store.close()
    return data


def live(data: Path, query: str) -> int:
    with closing(connect(data / FILE_NAME)) as connection:
        found: int = connection.execute(query).fetchone()[0]
        return found


# Sealing


def test_whole_days_are_sealed_as_they_are(data: Path) -> None:
    """Each loop's days that are over are sealed, row by row, in order, without gaps; the running day is not."""
    seal_all(data)
    manifest = Manifest(data)
    for log, columns, where in [
        ("decisions", "position, decision_id, at, due, request, answer", "loop = 1 AND at < ?"),
        (
            "rewards",
            "position, decision_id, reward_id, value, slot, component, occurred_at, received_at, status",
            "loop = 1 AND received_at < ?",
        ),
        ("outcomes", "position, decision, kind, value, at, previous, earned, revises, root", "loop = 1 AND at < ?"),
    ]:
        own = [s for s in manifest.segments if (s.loop, s.log) == ("a", log)]
        assert [s.day for s in own] == [f"1970-01-0{day}" for day in (1, 2, 3, 4)]
        sealed = [row for s in own for row in read_segment(manifest.path(s), log)]
        with closing(connect(data / FILE_NAME)) as connection:
            query = f"SELECT {columns} FROM {log} WHERE {where} ORDER BY position"  # noqa: S608  # constants
            assert sealed == connection.execute(query, (4 * DAY,)).fetchall()
        assert [s.rows for s in own] == [len(list(read_segment(manifest.path(s), log))) for s in own]
        assert all(durable.sha256(manifest.path(s)) == s.sha256 for s in own)


def test_sealing_again_seals_only_what_is_new(data: Path) -> None:
    """A second run finds nothing; a day later it seals the day between, and no position twice."""
    first = seal_all(data)
    assert seal_all(data) == []
    second = seal_all(data, NOW + DAY)
    assert {s.day for s in second} == {"1970-01-05"}
    assert Manifest(data).segments == sorted([*first, *second], key=lambda s: (s.loop, s.log, s.first))
    for loop in "ab":
        for log in ("decisions", "rewards", "outcomes", "activations"):
            own = [s for s in Manifest(data).segments if (s.loop, s.log) == (loop, log)]
            assert all(a.last < b.first for a, b in itertools.pairwise(own))


def test_days_and_loops_can_be_chosen(data: Path) -> None:
    """`until` and `loops` bound what is sealed; an unknown loop is named with those that exist."""
    with reading(data / FILE_NAME) as connection:
        sealed = seal(data, connection, lambda: NOW, loops=["b"], until=date(1970, 1, 2))
        assert {(s.loop, s.day) for s in sealed} == {("b", "1970-01-01"), ("b", "1970-01-02")}
        with pytest.raises(InvalidInput, match=r"no loop 'c'.*a, b"):
            seal(data, connection, lambda: NOW, loops=["c"])


def test_what_still_changes_is_not_sealed(data: Path) -> None:
    """A waiting reward holds up the rewards behind it, an open decision the activations behind it."""
    store = SqliteStore(data)
    write(store, [lambda tx: record_reward(tx, reward("not yet", at=NOW), RewardRules())])
    made = decision("open", at=NOW, window=100 * DAY, deferred=True)
    write(store, [lambda tx: tx.activate(tx.add_decision(made), NOW)])
    write(store, [lambda tx: tx.add_reward(reward("d9", at=NOW, loop="a"))])
    store.close()
    seal_all(data, NOW + DAY)
    assert (
        Manifest(data).last("a", "rewards")
        == live(data, "SELECT min(position) FROM rewards WHERE status = 'early'") - 1
    )
    assert Manifest(data).last("a", "activations") < live(data, "SELECT max(decision) FROM activations")


def reward(decision_id: str, *, at: int, loop: str = "a") -> Reward:
    return Reward(
        loop=loop, decision_id=decision_id, value=1.0, received_at=at, occurred_at=at, reward_id=f"x{decision_id}"
    )


def test_a_clock_that_jumps_holds_nothing_up(data: Path) -> None:
    """Rows from a far future, and from the past again, are sealed with those around them."""
    store = SqliteStore(data)
    for name, at in (("future", NOW + 900 * DAY), ("back", NOW - DAY), ("now", NOW)):
        write(store, [lambda tx, name=name, at=at: tx.add_decision(decision(name, at=at))])
    store.close()
    seal_all(data, NOW + DAY)
    assert Manifest(data).last("a", "decisions") == live(data, "SELECT max(position) FROM decisions")
    assert max(s.day for s in Manifest(data).segments) == "1970-01-05"


def test_a_long_day_has_several_segments(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment has a largest number of rows, and no row is lost between two."""
    monkeypatch.setattr(seal_module, "MOST_ROWS", 7)
    before = opened(data)
    seal_all(data)
    assert max(s.rows for s in Manifest(data).segments) == 7
    prune_all(data)
    assert opened(data) == before


@pytest.mark.parametrize("loss", ["row", "value"])
def test_a_segment_that_differs_from_the_log_is_not_sealed(
    data: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """A row that is lost or changed on its way into the file is noticed before the file has a name."""
    whole = segments_module.write_segment

    def careless(path, log, found):
        first, second, *rest = found
        return whole(path, log, [first, *([(*second[:-1], second[-1] * 2)] if loss == "value" else []), *rest])

    with monkeypatch.context() as patch:
        patch.setattr(segments_module, "write_segment", careless)
        with pytest.raises(StoreUnusable, match="does not hold what the log holds"):
            seal_all(data)
    assert Manifest(data).segments == []
    seal_all(data)


def test_entries_supersede_and_delete_others(data: Path) -> None:
    """A segment that another one replaces, and one that was deleted, no longer count; readers find the replacement."""
    seal_all(data)
    prune_all(data)
    before = opened(data)
    manifest = Manifest(data)
    old = next(s for s in manifest.segments if (s.loop, s.log) == ("a", "decisions"))
    new = msgspec.structs.replace(old, file=old.file.replace(".parquet", "-2.parquet"), supersedes=old.file)
    manifest.path(old).rename(manifest.path(new))
    manifest.append([new])
    assert opened(data) == before
    assert old not in Manifest(data).segments
    manifest.append([Deleted(file=new.file, deleted_at=NOW)])
    with pytest.raises(Gone, match="row 1 of the decisions of loop 'a' was deleted by a retention rule"):
        opened(data)


def test_an_archive_of_another_log_is_refused(data: Path, tmp_path: Path) -> None:
    """A log that ends before its archive, such as one that was put back alone, is named; nothing is sealed."""
    seal_all(data)
    (data / FILE_NAME).unlink()
    (data / f"{FILE_NAME}-wal").unlink(missing_ok=True)
    store = SqliteStore(data)
    fill(store, 20)
    store.close()
    with pytest.raises(StoreUnusable, match="they are not of the same folder"):
        seal_all(data, NOW + DAY)


# Pruning


def test_readers_see_the_same_before_and_after(data: Path) -> None:
    """Whatever a store can be asked, its answer is the same after pruning, and the rows are gone from the file."""
    before = opened(data)
    seal_all(data)
    counts = prune_all(data)
    assert sum(counts.values()) > 300
    assert opened(data) == before
    assert live(data, "SELECT count(*) FROM rewards") < 100
    assert live(data, "SELECT count(*) FROM decisions WHERE answer = x''") == sum(counts.values())
    assert prune_all(data) == {"a": 0, "b": 0}


def test_what_is_needed_at_hand_stays(data: Path) -> None:
    """Open, young, unsealed and unlearned decisions keep all of their rows; with them, whatever is newest."""
    store = SqliteStore(data)
    write(store, [lambda tx: tx.add_decision(decision("open", at=0, window=9))])
    write(store, [lambda tx: tx.add_reward(reward("d1", at=NOW, loop="b"))])  # not sealed yet
    store.close()
    seal_all(data)
    prune_all(data, Limit(due_before=2 * DAY, checkpoint=50))
    with closing(connect(data / FILE_NAME)) as connection:
        gone = dict(connection.execute("SELECT decision_id, due FROM decisions WHERE answer = x''"))
        assert max(gone.values()) <= 2 * DAY
        assert {"open", "d1"} & gone.keys() == set()
        assert connection.execute("SELECT count(*) FROM outcomes WHERE position > 50").fetchone() != (0,)
        kept = "SELECT count(*) FROM outcomes o JOIN decisions d ON d.position = o.decision WHERE d.answer = x''"
        assert connection.execute(kept).fetchone() == (0,)
    assert len(gone) > 30


def test_the_newest_rows_stay_so_that_positions_go_on(data: Path) -> None:
    """When everything may go, what comes next is still counted on from where the log ended.

    The newest reward is that of an old decision: it must stay although its outcomes may go.
    """
    store = SqliteStore(data)
    write(store, [lambda tx: tx.add_reward(reward("d9", at=NOW, loop="b"))])
    ends = {loop: store.log_position(loop) for loop in "ab"}
    store.close()
    newest = live(data, "SELECT max(position) FROM rewards")
    seal_all(data, NOW + 9 * DAY)
    counts = prune_all(data, Limit(due_before=NOW + 9 * DAY, checkpoint=10**9))
    assert sum(counts.values()) == 400 - 3
    store = SqliteStore(data)
    assert {loop: store.log_position(loop) for loop in "ab"} == ends
    [made] = write(store, [lambda tx: tx.add_decision(decision("next", at=NOW + 20 * DAY))])
    assert made.position == 401
    [entry] = write(
        store,
        [
            lambda tx: tx.add_outcome(
                made, Outcome(loop="a", position=0, decision_id="next", kind="expired", value=0.0, at=NOW + 20 * DAY)
            )
        ],
    )
    assert entry.position == ends["a"] + 1
    write(store, [lambda tx: tx.add_reward(reward("next", at=NOW + 20 * DAY))])
    store.close()
    assert live(data, "SELECT max(position) FROM rewards") == newest + 1


def test_a_request_that_is_sent_again_finds_its_answer(data: Path) -> None:
    """After pruning, an old decision id, another body for it, and an old reward id are answered as before."""
    seal_all(data)
    prune_all(data)
    rules = RewardRules(window_s=1, correction_window_s=10**7)
    store = SqliteStore(data)
    again = msgspec.structs.replace(store.decision("a", "d8"), at=NOW, due=NOW + 1)
    other = msgspec.structs.replace(again, request=b'{"actions": [{"id": "x"}]}')
    repeat = msgspec.structs.replace(reward("d8", at=NOW), reward_id="r8-0")
    answers = write(
        store,
        [
            lambda tx: record_decision(tx, again, rules, known_id=True),
            lambda tx: record_decision(tx, other, rules, known_id=True),
            lambda tx: record_reward(tx, repeat, rules),
            lambda tx: record_reward(tx, reward("d8", at=NOW), rules),
        ],
    )
    assert (answers[0].repeated, answers[0].decision) == (True, store.decision("a", "d8"))
    assert "another body" in str(answers[1])
    assert answers[2].duplicate
    assert answers[3].late
    # The window was made longer since: the archived decision is corrected as if it were still at hand.
    rewards, outcomes = store.rewards("a", "d8"), store.outcomes("a", "d8")
    assert [r.reward_id for r in rewards] == ["r8-0", "xd8"]
    assert [o.kind for o in outcomes][:2] == ["rewarded", "corrected"]
    assert store.logged("a", since=0, until=2**62, after=8, limit=1)[0].outcome == outcomes[-1]
    store.close()


def test_a_correction_of_an_archived_decision_is_found(data: Path) -> None:
    """An outcome that comes after its decision was pruned is its newest, and names what it revises from the archive."""
    seal_all(data)
    prune_all(data)
    store = SqliteStore(data)
    before = store.outcomes("b", "d1")[-1]
    late = Outcome(
        loop="b", position=0, decision_id="d1", kind="corrected", value=9.0, at=NOW, revises=before.position, root=1
    )
    seen = []

    def correct(tx):
        made = tx.decision("b", "d1")
        seen.append((tx.latest_outcome(made), tx.activated(made), len(tx.rewards(made))))
        tx.add_outcome(made, late)
        seen.append(tx.latest_outcome(made).value)

    write(store, [correct])
    assert seen == [(before, None, 1), 9.0]
    assert store.examples("b", after=store.log_position("b") - 1, limit=1)[0].before == before
    store.close()


def test_a_decision_is_pruned_again_after_a_late_word(data: Path) -> None:
    """What came for a pruned decision since stays in the log, also when its day is sealed and the rest is pruned."""
    seal_all(data)
    prune_all(data)
    store = SqliteStore(data)
    write(store, [lambda tx: record_reward(tx, reward("d8", at=NOW), RewardRules(window_s=1))])
    store.close()
    before = opened(data)
    seal_all(data, NOW + DAY)
    prune_all(data, Limit(due_before=NOW, checkpoint=10**9))
    assert opened(data) == before


def test_damage_is_named_before_anything_is_pruned(data: Path) -> None:
    """A segment that is not what was sealed, or is gone, stops pruning, and reading names a lost one too."""
    seal_all(data)
    segment = next(s for s in Manifest(data).segments if s.log == "decisions")
    path = Manifest(data).path(segment)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(StoreUnusable, match=rf"{path.name} is damaged.*{segment.sha256}"):
        prune_all(data)
    assert live(data, "SELECT count(*) FROM pruned") == 0
    path.write_bytes(content)
    prune_all(data)
    path.unlink()
    with pytest.raises(StoreUnusable, match=path.name):
        opened(data)
    (data / FOLDER / FILE).unlink()
    with pytest.raises(StoreUnusable, match="no segment"):
        opened(data)


def test_a_reader_of_before_sees_what_is_pruned_meanwhile(data: Path) -> None:
    """A store that was opened to read before anything was sealed reads on, from the archive."""
    reader = SqliteStore(data, read_only=True)
    before = everything(reader)
    seal_all(data)
    prune_all(data)
    assert everything(reader) == before
    reader.close()


def test_a_backup_of_a_pruned_log_is_whole(data: Path, tmp_path: Path) -> None:
    """What was pruned comes back with the archive that is part of the backup."""
    before = opened(data)
    seal_all(data)
    prune_all(data)
    backup(data, tmp_path / "backup", lambda: NOW)
    restore(tmp_path / "backup", tmp_path / "restored")
    assert opened(tmp_path / "restored") == before


def test_a_full_disk_stops_pruning_and_nothing_is_lost(data: Path) -> None:
    """When the file cannot grow, the batch is undone and the message says what to do; a later run goes on."""
    before = opened(data)
    seal_all(data)
    with closing(connect(data / FILE_NAME)) as connection:
        connection.execute(
            "CREATE TEMP TRIGGER no_room BEFORE UPDATE ON main.decisions"
            " BEGIN SELECT raise(ROLLBACK, 'disk is full'); END"
        )
        with pytest.raises(StoreUnusable, match=r"disk is full.*make room"):
            prune(data, connection, {"a": ALL})
    assert opened(data) == before
    assert prune_all(data)["a"] > 0
    assert opened(data) == before


# Crashes


def test_a_crash_of_sealing_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing is broken off before each sync, rename and manifest entry in turn; the next run ends as if it had not."""
    whole = tmp_path / "whole"
    whole.mkdir()
    store = SqliteStore(whole)
    fill(store, 12, days=2)
    store.close()
    shutil.copytree(whole, tmp_path / "0")
    before = opened(whole)
    wanted = {(s.log, s.first, s.last, s.rows, s.sha256) for s in seal_all(whole)}
    step, finished = 0, False
    while not finished:
        step += 1
        data = shutil.copytree(tmp_path / "0", tmp_path / str(step))
        with monkeypatch.context() as patch:
            begun = crash_at(step, patch)
            try:
                seal_all(data)
            except Crashed:
                pass
            else:
                finished = begun() < step
        assert opened(data) == before
        seal_all(data)
        assert {(s.log, s.first, s.last, s.rows, s.sha256) for s in Manifest(data).segments} == wanted
        files = {path for path in (data / FOLDER).rglob("*") if path.is_file()}
        assert files == {Manifest(data).path(s) for s in Manifest(data).segments} | {data / FOLDER / FILE}
        prune_all(data)
        assert opened(data) == before
    assert step > 30


def test_what_a_crash_left_is_removed(data: Path) -> None:
    """A file that no entry names, finished or not, is gone after the next run; what is not ours stays."""
    seal_all(data)
    place = Manifest(data).path(Manifest(data).segments[0]).parent
    for name in ("rewards.part", "decisions-1-7.parquet", "notes.txt"):
        (place / name).touch()
    before = opened(data)
    assert seal_all(data) == []
    assert [(place / name).exists() for name in ("rewards.part", "decisions-1-7.parquet", "notes.txt")] == [0, 0, 1]
    prune_all(data)
    assert opened(data) == before


@pytest.mark.parametrize("length", [1, 40, 200])
def test_a_torn_manifest_line_is_cut_off(data: Path, length: int) -> None:
    """What a crash left of a manifest line does not count, and the next entry does not stick to it."""
    seal_all(data)
    path = data / FOLDER / FILE
    wanted = Manifest(data).segments
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:length])
    assert len(Manifest(data).segments) == len(wanted) - 1
    seal_all(data)
    assert Manifest(data).segments == wanted
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(StoreUnusable, match="damaged in line 1"):
        Manifest(data)


KILLED = """
import os, sqlite3, sys
from pathlib import Path
from archived import prune_all
from store.log.archive import prune

class Connection(sqlite3.Connection):
    def executemany(self, *args):
        self.step()
        return super().executemany(*args)

    def execute(self, query, *args):
        if query in ("BEGIN IMMEDIATE", "COMMIT"):
            self.step()
        return super().execute(query, *args)

    def step(self):
        self.left = getattr(self, "left", int(sys.argv[2])) - 1
        if self.left == 0:
            os.kill(os.getpid(), 9)

whole = sqlite3.connect
sqlite3.connect = lambda *a, **k: whole(*a, **k, factory=Connection)
prune._BATCH = 20
prune_all(Path(sys.argv[1]))
"""


def test_pruning_is_killed_anywhere_and_nothing_is_lost(data: Path) -> None:
    """`kill -9` before each statement of the first batch and some of the second, one after the other on one folder."""
    before = opened(data)
    seal_all(data)
    pruned = [0]
    for step in (*range(1, 9), 12, 15, 16):
        done = subprocess.run([sys.executable, "-c", KILLED, str(data), str(step)], check=False, env=environment())
        assert done.returncode == -9
        assert opened(data) == before
        pruned.append(live(data, "SELECT count(*) FROM decisions WHERE answer = x''"))
    assert pruned[-1] > pruned[1] == 0
    prune_all(data)
    assert opened(data) == before


def environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
