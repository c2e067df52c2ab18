"""Power cuts: what would be on the disk, had the power failed at any moment of a traced run.

`kill -9` cannot show a missing sync, since the operating system writes out in its own time what the process left. Here
each write and sync of the server is known, so the folder can be rebuilt as a power cut would have left it.
"""

import itertools
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from bandit.client import Client
from simulator.faults.answers import Acknowledged
from simulator.faults.callers import Notes, calling, reward_id
from simulator.faults.disk import Cut, Folder, Loss, Written
from simulator.faults.tracing import Call, files_in, strace
from simulator.server import started

_SYNCING = ("fsync", "fdatasync")
_RUN = "power"
_IDS = re.compile(rb"(?:reward-)?power-\d-\d{6}")
_NOT_KEPT = ("-shm", "/lock", "/holder.pid")
"""Files that a start makes anew: SQLite's index of its log in shared memory, and the lock of the folder."""


@dataclass(frozen=True, slots=True)
class PowerCut:
    """A folder as a power cut at `moment` of the trace left it."""

    moment: int
    loss: Loss
    files: dict[str, bytes]

    def write_to(self, folder: Path) -> None:
        """Put the files into a new folder."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def traced(
    trace: Path,
    program: Sequence[str],
    loops: Mapping[str, Mapping[str, Any]],
    *,
    seconds: float,
    options: Sequence[str] = (),
) -> Notes:
    """Run `python program` under strace with callers for some seconds, stop it in order, and return their notes.

    `loops` are the configs to make, `options` more options for strace. Raises `CannotTrace` where it cannot trace.
    """
    with started(program, tracer=strace(trace, *options)) as server:
        server.await_ready()
        with Client(server.url, trust_env=False) as client:
            for name, config in loops.items():
                client.put_loop(name, config)
        with calling(server.url, list(loops), callers=4, name=_RUN) as notes:
            time.sleep(seconds)
    return notes


def moments(answers: Sequence[Acknowledged], *, count: int, seed: int) -> list[int]:
    """Return moments to cut the power at: half of them as an answer is sent, where most can be lost, the rest any."""
    rng = random.Random(seed)
    places = sorted(answer.at for answer in answers)
    risky = rng.sample(places, min(count // 2, len(places)))
    anywhere = [rng.randint(places[0], places[-1]) for _ in range(count - len(risky))]
    return sorted([*risky, *anywhere])


def cut_power(calls: Sequence[Call], folder: Path, at: Sequence[int], *, seed: int) -> Iterator[PowerCut]:
    """Play the trace and yield what each power cut leaves of the folder; `at` are moments in ascending order.

    A call counts as done at a moment when it had ended by then.
    """
    rng, played = random.Random(seed), Folder()
    events = deque(sorted(_events(calls, folder, played), key=lambda event: event[0]))
    for moment, loss in zip(at, itertools.cycle(get_args(Loss)), strict=False):
        while events and events[0][0] <= moment:
            events.popleft()[1]()
        yield PowerCut(moment, loss, played.after_cut(loss, rng))


def too_early(calls: Sequence[Call], folder: Path, answers: Sequence[Acknowledged]) -> list[str]:
    """Return the answers that were sent before what they acknowledge was written, and then synced.

    A decision and a reward are found in the bytes written by their ids.
    """
    written: dict[bytes, Call] = {}
    syncs: dict[str, list[Call]] = {}
    for call in files_in(calls, folder):
        if call.name in _SYNCING:
            syncs.setdefault(call.path, []).append(call)
        for name in _IDS.findall(call.strings[-1]) if call.name == "pwrite64" else ():
            written.setdefault(name, call)
    found = []
    for answer in answers:
        name = answer.decision_id if answer.what == "decision" else reward_id(answer.decision_id)
        write = written.get(name.encode())
        after = [] if write is None else [s for s in syncs.get(write.path, []) if s.began > write.ended]
        if not any(sync.ended < answer.at for sync in after):
            found.append(f"{answer.what} {name} was answered at {answer.at} of the trace, before it was synced")
    return found


def before(notes: Notes, answers: Sequence[Acknowledged], moment: int) -> Notes:
    """Return the part of the notes that had been answered by then."""
    told = {(answer.what, answer.decision_id) for answer in answers if answer.at <= moment}
    return Notes(
        served={key: value for key, value in notes.served.items() if ("decision", key[1]) in told},
        rewarded={key: value for key, value in notes.rewarded.items() if ("reward", key[1]) in told},
    )


def _events(calls: Sequence[Call], folder: Path, played: Folder) -> Iterator[tuple[int, Callable[[], None]]]:
    """Yield what each call does to the folder, and when."""
    for call in files_in(calls, folder):
        if call.on == str(folder) and call.name in _SYNCING:
            yield call.ended, played.sync
        elif not call.path.endswith(_NOT_KEPT):
            yield from _on_file(call, Path(call.path).name, played)


def _on_file(call: Call, name: str, played: Folder) -> Iterator[tuple[int, Callable[[], None]]]:
    match call.name:
        case "openat":
            if "O_CREAT" in call.arguments:
                yield call.ended, partial(played.create, name)
            if "O_TRUNC" in call.arguments:
                yield call.ended, lambda: played.files[name].unsafe.append(Cut(0))
        case "unlink" | "unlinkat":
            yield call.ended, partial(played.remove, name)
        case "pwrite64":
            change = Written(call.number(-1), call.strings[-1][: call.result])
            yield call.ended, lambda: played.files[name].unsafe.append(change)
        case "ftruncate":
            size = Cut(call.number(-1))
            yield call.ended, lambda: played.files[name].unsafe.append(size)
        case "fsync" | "fdatasync":
            sync = _Sync(played, name)
            yield call.began, sync.begin
            yield call.ended, sync.end
        case other:
            raise ValueError(f"{other} on {name}: the model of the disk does not know what that does; teach it")


class _Sync:
    """A sync of a file: what is written after it begins is not its affair."""

    def __init__(self, played: Folder, name: str) -> None:
        self._played = played
        self._name = name

    def begin(self) -> None:
        self._file = self._played.files[self._name]
        self._mark = self._file.mark()

    def end(self) -> None:
        self._file.sync(self._mark)
