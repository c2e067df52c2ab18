"""The memory of a loop's frequency caps after a start: what its log says was served lately."""

from collections.abc import Sequence

import msgspec

from bandit.ranking.frequency import Frequency
from bandit.ranking.guards import FrequencyCap, GuardConfig, of_kind
from store.ports import Store

_CHUNK = 5000
_EVER = 2**62


class _Sent(msgspec.Struct):
    """The part of a decision's request that says for whom it was."""

    entities: dict[str, str] = {}


_entities = msgspec.json.Decoder(_Sent).decode


def open_frequency(store: Store, loop: str, guards: Sequence[GuardConfig], now: int) -> Frequency:
    """Return the memory of the loop's frequency caps, with what was served within their windows before `now`."""
    frequency = Frequency(of_kind(guards, FrequencyCap), since=now)
    after = 0
    while frequency.reach:
        chunk = store.logged(loop, since=max(0, now - frequency.reach), until=_EVER, after=after, limit=_CHUNK)
        for row in chunk:
            decision = row.decision
            frequency.served(_entities(decision.request).entities, decision.served, decision.at)
            after = decision.position
        if len(chunk) < _CHUNK:
            break
    return frequency
