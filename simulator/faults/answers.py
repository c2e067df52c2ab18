"""What the server answered, read from the bytes that it sent: which decision or reward was acknowledged, and when.

Each caller has a connection of its own and sends a decision's rewards right after it, so that an answer to a reward,
which names nothing, belongs to the decision that was answered last on its connection.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.faults.tracing import Call

_HEAD = re.compile(
    rb"HTTP/1\.1 (\d+) [^\r]*\r\n(?:[^\r]+\r\n)*?content-length: *(\d+)\r\n(?:[^\r]+\r\n)*\r\n", re.IGNORECASE
)
_DECISION = re.compile(rb'^\{"decision_id":"([^"]+)"')
_SENDING = ("write", "writev", "sendto", "sendmsg")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A 2xx answer to a decision, or to its reward: `at` is where in the trace its first byte was sent."""

    what: str
    decision_id: str
    at: int


def acknowledged(calls: Sequence[Call]) -> Iterator[Acknowledged]:
    """Yield each 2xx answer to a decision or a reward, by connection."""
    sent: dict[str, list[Call]] = {}
    for call in calls:
        if call.name in _SENDING and call.on.startswith(("socket:", "TCP")):
            sent.setdefault(call.on, []).append(call)
    for on_one in sent.values():
        # The event loop has sockets to itself, on which it is told of signals.
        if on_one[0].strings[0].startswith(b"HTTP/"):
            yield from _on_connection(on_one)


def _on_connection(sent: Sequence[Call]) -> Iterator[Acknowledged]:
    stream, starts = bytearray(), []
    for call in sent:
        starts.append((len(stream), call.began))
        stream += b"".join(call.strings)[: call.result]
    decision_id, position = "", 0
    while head := _HEAD.match(stream, position):
        at = max(began for start, began in starts if start <= position)
        end = head.end() + int(head[2])
        named = _DECISION.match(bytes(stream[head.end() : end]))
        if named and head[1] in (b"200", b"201"):
            decision_id = named[1].decode()
            yield Acknowledged("decision", decision_id, at)
        elif head[1] == b"202":
            yield Acknowledged("reward", decision_id, at)
        position = end
    if position < len(stream):
        raise ValueError(f"an answer cannot be read: {bytes(stream[position : position + 80])!r}")
