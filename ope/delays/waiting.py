"""What is asked about delayed rewards, as one checked value."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from ope.delays.asked import AS_SETTLED, BOUNDS, IPCW, MATURE, REFUSE, WAYS, Delays
from ope.errors import InvalidRequest

Range: TypeAlias = tuple[float, float]
RANGELESS = frozenset({"normal", "bootstrap"})
"""The interval methods that ask for no declared range of rewards, which weighed rewards leave."""

LONGEST_S = 3e9
"""Some hundred years, a thousand times whose microseconds are still whole numbers of 64 bits."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How rows count whose reward has not come. Times in microseconds since 1970-01-01 UTC, the window in microseconds.

    `window` is None where time plays no part: in bounds, where each row without a reward may still earn anything in
    `within`, the declared range of rewards. `now` is None for the latest time in the log.
    """

    way: str
    window: int | None
    now: int | None
    silence: float
    at: str
    rewarded_at: str
    delay_by: str | None
    within: Range | None

    @staticmethod
    def of(delays: Delays, *, within: Range | None, interval: str) -> "Waiting":
        """Return the options as one value; raises InvalidRequest for those that do not go together."""
        way = delays.unresolved
        if way not in WAYS:
            raise InvalidRequest(f"--unresolved {way}: there is no such way; it is {', '.join(WAYS)}.")
        _check_owned(delays)
        _check_needed(delays, within=within, interval=interval)
        return Waiting(
            way=way,
            window=None if delays.window_s is None else _window(delays.window_s),
            now=None if delays.now is None else _time(delays.now),
            silence=_silence(delays, within),
            at=delays.at,
            rewarded_at=delays.rewarded_at,
            delay_by=delays.delay_by,
            within=within,
        )


def _check_owned(delays: Delays) -> None:
    """Refuse an option that the way would not read: who gives it expects it to matter."""
    way, timed = delays.unresolved, delays.unresolved in {MATURE, IPCW} or delays.window_s is not None
    if delays.delay_by is not None and way != IPCW:
        raise InvalidRequest(f"--delay-by is read by --unresolved {IPCW} alone; leave it out.")
    usual = replace(AS_SETTLED, unresolved=way, at=delays.at)  # windows of time read --at too
    if way == REFUSE and delays != usual:
        raise InvalidRequest(
            "--window-s, --now, --default-reward and --rewarded-at say how open decisions count, and "
            f"--unresolved {REFUSE} counts none; give --unresolved {MATURE}, {IPCW} or {BOUNDS} with them."
        )
    if not timed and delays != usual:
        raise InvalidRequest("--now, --default-reward and --rewarded-at are about a window; give --window-s with them.")


def _check_needed(delays: Delays, *, within: Range | None, interval: str) -> None:
    way = delays.unresolved
    if way in {MATURE, IPCW} and delays.window_s is None:
        raise InvalidRequest(f"--unresolved {way} needs --window-s: within how many seconds a reward counts.")
    if way == BOUNDS and within is None:
        raise InvalidRequest(f"--unresolved {BOUNDS} needs --reward-range LO,HI: what an open decision may still earn.")
    if way == IPCW and interval not in RANGELESS:
        raise InvalidRequest(
            f"--interval {interval} is for rewards of a declared range, which weighed ones leave. "
            f"Ask for --unresolved {MATURE}, or for --interval normal."
        )


def _window(seconds: float) -> int:
    if not 0 < seconds <= LONGEST_S:
        raise InvalidRequest(f"--window-s is {seconds:g}; it is a number of seconds above 0, at most {LONGEST_S:g}.")
    return max(1, round(seconds * 1e6))


def _time(said: str) -> int:
    try:
        time = datetime.fromisoformat(said)
    except ValueError:
        raise InvalidRequest(f"--now is {said!r}; it is a time such as 2026-03-14T08:00:00Z.") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)


def _silence(delays: Delays, within: Range | None) -> float:
    silence = delays.default_reward
    if not math.isfinite(silence):
        raise InvalidRequest(f"--default-reward is {silence:g}; it is a finite number.")
    if delays.window_s is not None and within is not None and not within[0] <= silence <= within[1]:
        raise InvalidRequest(
            f"--default-reward is {silence:g}, and --reward-range says that rewards are between {within[0]:g} and "
            f"{within[1]:g}. Declare all that can be."
        )
    return silence
