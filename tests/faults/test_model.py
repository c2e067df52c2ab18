"""The disk that loses power, the trace and the audit, checked by hand: the checks of the faults rest on them."""

import random
from pathlib import Path

import pytest
from support import decision, loop

from simulator.faults.answers import Acknowledged, acknowledged
from simulator.faults.audit import disorder, losses
from simulator.faults.callers import Notes
from simulator.faults.disk import Cut, File, Folder, Written
from simulator.faults.power import cut_power, too_early
from simulator.faults.tracing import CannotTrace, read_trace, strace
from store.log.memory import MemoryStore
from store.ports import write
from store.records import Reward

RNG = random.Random(1)


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def on(path: str) -> str:
    return f"7<{hexed(path)}>"


def pwrite(path: str, data: str, offset: int) -> str:
    return f'pwrite64({on(path)}, "{hexed(data)}", {len(data)}, {offset}'


def answer(status: str, body: str) -> str:
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"


def test_only_what_was_written_before_a_sync_began_is_safe() -> None:
    """A sync makes safe what was written until it began, not what came while it ran."""
    file = File()
    file.unsafe.append(Written(0, b"abc"))
    mark = file.mark()
    file.unsafe.append(Written(3, b"def"))
    file.sync(mark)
    assert file.after_cut("all", RNG) == b"abc"
    file.sync(mark)
    assert file.after_cut("all", RNG) == b"abc"
    file.sync(file.mark())
    file.unsafe.append(Cut(1))
    assert file.after_cut("all", RNG) == b"abcdef"
    file.sync(file.mark())
    assert file.after_cut("all", RNG) == b"a"


def test_a_tail_or_any_sector_may_be_missing() -> None:
    """Of two writes unsynced, a cut leaves none, the first or both; of one over three sectors, any of its pieces."""
    file = File(bytearray(b"--"), [Written(0, b"a"), Written(1, b"b")])
    assert {file.after_cut("tail", RNG) for _ in range(100)} == {b"--", b"a-", b"ab"}
    torn = File(bytearray(b"-" * 1200), [Written(500, b"x" * 600)])
    left = {torn.after_cut("sectors", RNG) for _ in range(200)}
    pieces = [(500, 512), (512, 1024), (1024, 1100)]
    assert len(left) == 8
    for content in left:
        assert all(len(set(content[a:b])) == 1 for a, b in pieces)
        assert (len(content), set(content[:500]), set(content[1100:])) == (1200, {ord("-")}, {ord("-")})


def test_a_name_is_safe_once_its_folder_is_synced() -> None:
    """A file whose folder was not synced may be gone, content and all; one that was removed may be back."""
    folder = Folder()
    folder.create("new")
    folder.files["new"].unsafe.append(Written(0, b"1"))
    folder.files["new"].sync(1)
    assert folder.after_cut("all", RNG) == {}
    folder.sync()
    folder.remove("new")
    folder.create("new")
    assert folder.after_cut("all", RNG) == {"new": b"1"}
    folder.sync()
    assert folder.after_cut("all", RNG) == {"new": b""}


TRACE = f"""1  openat(AT_FDCWD<{hexed("/")}>, "{hexed("/d/log")}", O_RDWR|O_CREAT, 0644) = {on("/d/log")}
1  fsync({on("/d")}) = 0
2  {pwrite("/d/log", "power-0-000001", 0)}) = 14
2  fdatasync({on("/d/log")} <unfinished ...>
1  {pwrite("/d/log", "power-0-000002", 14)} <unfinished ...>
2  <... fdatasync resumed>) = 0
1  <... pwrite64 resumed>) = 14
1  write({on("socket:[5]")}, "{hexed(answer("201 Created", '{"decision_id":"power-0-000001"}')[:20])}", 20) = 20
1  write({on("socket:[5]")}, "{hexed(answer("201 Created", '{"decision_id":"power-0-000001"}')[20:])}", 99) = 99
1  write({on("socket:[6]")}, "{hexed(answer("201 Created", '{"decision_id":"power-0-000002"}'))}", 99) = 119
1  fdatasync({on("/d/log")}) = -1 EIO (Input/output error)
1  +++ exited with 0 +++
"""


def test_a_trace_is_read_as_it_happened(tmp_path: Path) -> None:
    """A sync covers what was written before it began; an answer may come in pieces; a failed call is nothing."""
    (tmp_path / "trace").write_text(TRACE)
    calls = read_trace(tmp_path / "trace")
    assert [(call.name, call.began, call.ended) for call in calls[2:5]] == [
        ("pwrite64", 2, 2),
        ("fdatasync", 3, 5),
        ("pwrite64", 4, 6),
    ]
    assert len(calls) == 8
    answers = list(acknowledged(calls))
    assert answers[0] == Acknowledged("decision", "power-0-000001", 7)
    [cut] = cut_power(calls, Path("/d"), [7], seed=1)
    assert cut.files == {"log": b"power-0-000001"}
    [finding] = too_early(calls, Path("/d"), [*answers[:1], Acknowledged("decision", "power-0-000002", 9)])
    assert "power-0-000002 was answered at 9" in finding


def test_an_answer_to_a_reward_belongs_to_the_decision_before_it(tmp_path: Path) -> None:
    """On a connection a 202 acknowledges the reward of the last decision; a refusal acknowledges nothing."""
    said = (
        answer("200 OK", '{"decision_id":"d"}') + answer("503 Service Unavailable", "{}") + answer("202 Accepted", "{}")
    )
    (tmp_path / "trace").write_text(f'1  write({on("socket:[5]")}, "{hexed(said)}", {len(said)}) = {len(said)}\n')
    assert [(a.what, a.decision_id) for a in acknowledged(read_trace(tmp_path / "trace"))] == [
        ("decision", "d"),
        ("reward", "d"),
    ]


def test_an_unknown_call_on_a_file_is_an_error(tmp_path: Path) -> None:
    """What the model does not know cannot pass as harmless."""
    (tmp_path / "trace").write_text(f"1  fallocate({on('/d/log')}, 0, 0, 10) = 0\n")
    with pytest.raises(ValueError, match="fallocate on log"):
        list(cut_power(read_trace(tmp_path / "trace"), Path("/d"), [1], seed=1))


@pytest.mark.parametrize(("script", "said"), [(None, "apt-get install strace"), ("exit 1", "SYS_PTRACE")])
def test_what_cannot_be_traced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    """Without strace, or where it may not trace, the check fails and says what to do: it never passes unseen."""
    if script:
        (tmp_path / "strace").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "strace").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotTrace, match=said):
        strace(tmp_path / "trace")


def test_the_audit_finds_what_is_lost_changed_or_doubled() -> None:
    """A missing decision, another answer, a missing reward and a reward that is there twice are each said."""
    store = MemoryStore()
    write(store, [lambda tx: tx.put_loop(loop("a")), lambda tx: tx.add_decision(decision("here"))])
    reward = Reward(loop="a", decision_id="here", value=0.5, received_at=1, occurred_at=1, reward_id="reward-here")
    told = (["x"], "fixed-0@0")
    kept = Notes(served={("a", "here"): told})
    assert losses(store, kept) == []
    gone = Notes(served={("a", "gone"): told, ("a", "here"): (["y"], told[1])}, rewarded={("a", "here"): 0.5})
    assert len(losses(store, gone)) == 3
    write(store, [lambda tx: tx.add_reward(reward)] * 2 + [lambda tx: tx.count("a", rewards=2, decisions=1)])
    assert disorder(store, "a") == ["reward reward-here is there 2 times"]
    assert len(losses(store, Notes(rewarded={("a", "here"): 0.5}))) == 1
