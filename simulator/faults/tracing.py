"""What a server asks of the operating system, as strace tells it: writes, syncs, names of files, bytes to sockets.

The only module that speaks strace. It reads a finished trace into `Call`s, in the order in which they happened, and
knows nothing of what they mean.
"""

import codecs
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from store.errors import HoneyguideError

_CALLS = (
    "openat,creat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,sync_file_range,"
    "ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2"
)
_NAMING = ("openat", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2")
_LONGEST = 1 << 20
"""Bytes of an argument that strace prints; more than SQLite or the server ever writes at once."""
_LINE = re.compile(r"^\d+ +")
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")
_UNFINISHED = " <unfinished ...>"
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?)", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PATH = re.compile(r"^\w+<([^>]*)>")


class CannotTrace(HoneyguideError):
    """There is no strace, or it may not trace; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that succeeded.

    `began` and `ended` are places in the trace: other calls may lie between them. `on` names the file or socket that
    its first argument is, `strings` are the bytes of its quoted arguments and `arguments` all of them as printed.
    """

    name: str
    began: int
    ended: int
    result: int
    on: str
    strings: tuple[bytes, ...]
    arguments: str

    @property
    def path(self) -> str:
        """The file that the call is about, whether it names it or has it open."""
        if self.name in _NAMING:
            return self.strings[0].decode()
        return self.on

    def number(self, place: int) -> int:
        """Return the last arguments as numbers, `place` counted from the end as -1, -2, …"""
        return int(self.arguments.split(", ")[place])


def strace(out: Path, *options: str) -> list[str]:
    """Return the command to put before another so that its calls are written to `out`; `options` are added.

    Raises `CannotTrace` where this machine has no strace or does not permit tracing.
    """
    program = shutil.which("strace")
    if program is None:
        raise CannotTrace("strace is not installed, so what a power cut leaves cannot be seen: apt-get install strace")
    tried = subprocess.run(  # noqa: S603 - the path is that of strace
        [program, "-f", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        raise CannotTrace(
            f"strace may not trace here ({tried.stderr.strip()}): in a container, add --cap-add=SYS_PTRACE; "
            "elsewhere, look at /proc/sys/kernel/yama/ptrace_scope"
        )
    shape = ["-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", str(_LONGEST)]
    return [program, *shape, "-e", "signal=none", "-e", f"trace={_CALLS}", *options, "-o", str(out)]


def read_trace(path: Path) -> list[Call]:
    """Return the calls of a finished trace that succeeded, ordered by when they ended; the unfinished are left out."""
    with path.open() as lines:
        return sorted(_calls(lines), key=lambda call: call.ended)


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    begun: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(lines):
        process, text = line.split(maxsplit=1)
        began = place
        if text.rstrip().endswith(_UNFINISHED.strip()):
            begun[process] = place, text.rstrip().removesuffix(_UNFINISHED.strip())
            continue
        if _RESUMED.match(text):
            began, first = begun.pop(process)
            text = first.rstrip() + _RESUMED.sub("", text)
        call = _call(text, began, place)
        if call is not None:
            yield call


def _call(text: str, began: int, ended: int) -> Call | None:
    found = _CALL.match(text)
    if found is None or found[3] == "?" or int(found[3]) < 0:
        return None
    name, arguments, result = found[1], found[2], int(found[3])
    path = _PATH.match(arguments)
    strings = tuple(_bytes(string) for string in _STRING.findall(arguments))
    on = _bytes(path[1]).decode() if path else ""
    return Call(name, began, ended, result, on, strings, arguments)


def _bytes(printed: str) -> bytes:
    return codecs.escape_decode(printed.encode())[0]


def files_in(calls: Sequence[Call], folder: Path) -> list[Call]:
    """Return the calls on a folder, on the files in it, and those that name one of them."""
    inside = f"{folder}/"
    return [call for call in calls if call.on == str(folder) or call.path.startswith(inside)]
