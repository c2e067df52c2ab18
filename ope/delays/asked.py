"""What may be asked about delayed rewards, as it is said: unchecked."""

from dataclasses import dataclass

REFUSE, MATURE, IPCW, BOUNDS = "refuse", "mature", "ipcw", "bounds"
WAYS = (REFUSE, MATURE, IPCW, BOUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """The options of an evaluation that are about delays, each the command's option of its name.

    `window_s` is in seconds. `now` is a time as text, UTC unless it says otherwise; None is the latest time in the log.
    `at` and `rewarded_at` are the columns of when a decision was made and when its reward came, `delay_by` that of what
    the delay depends on.
    """

    unresolved: str = REFUSE
    window_s: float | None = None
    now: str | None = None
    default_reward: float = 0.0
    at: str = "at"
    rewarded_at: str = "rewarded_at"
    delay_by: str | None = None


AS_SETTLED = Delays()
"""Every reward is there, and a row without one is refused."""
