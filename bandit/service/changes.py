"""What a new config changes, key by key, and from when: so that nobody is surprised by a line that learns anew."""

from typing import Any, Literal, TypeAlias

import msgspec

from bandit.settings import LoopConfig

Effect: TypeAlias = Literal["next_decision", "new_outcomes", "timing", "new_line"]
"""`next_decision`: for decisions from the next one on. `new_outcomes`: for rewards that come and windows that end from
now on; what is in the log stays. `timing`: when outcomes are learned, learned anew and stored. `new_line`: it changes
what the numbers of the model mean, so another line learns the log from its beginning."""

EFFECTS: dict[str, Effect] = {
    "policy": "new_line",
    "reward.window_s": "next_decision",
    "reward.default": "new_outcomes",
    "reward.aggregation": "new_outcomes",
    "reward.range": "new_outcomes",
    "reward.late": "new_outcomes",
    "reward.correction_window_s": "new_outcomes",
    "reward.credit": "new_line",
    "reward.components": "new_line",
    "exploration.mode": "next_decision",
    "exploration.cap": "next_decision",
    "exploration.floor": "next_decision",
    "exploration.schedule": "next_decision",
    "exploration.cold_start": "next_decision",
    "exploration.ceiling": "next_decision",
    "exploration.value_guard": "next_decision",
    "exploration.conservative": "next_decision",
    "exploration.budget": "next_decision",
    "guards": "next_decision",
    "learning.mode": "timing",
    "learning.batch": "timing",
    "learning.delay": "next_decision",
    "learning.decay": "new_line",
    "learning.relearn_s": "timing",
    "learning.release": "timing",
    "learning.checkpoint.outcomes": "timing",
    "learning.checkpoint.seconds": "timing",
    "features.service": "next_decision",
    "holdout.share": "next_decision",
    "fallback.kind": "next_decision",
}
"""Each key of a config that is not an object of keys; those under `policy` are each kind's own."""


class Change(msgspec.Struct, frozen=True):
    """A key whose value changes. Where null leaves `learning.delay` or `learning.decay` open, it is what that is."""

    key: str
    before: Any
    after: Any
    effect: Effect


def changes_between(before: LoopConfig, after: LoopConfig) -> list[Change]:
    """Return what changes from one config to the other, in the order of the reference."""
    old, new = _leaves(before), _leaves(after)
    return [
        Change(key, old.get(key), new.get(key), EFFECTS["policy" if key.startswith("policy.") else key])
        for key in dict.fromkeys([*old, *new])
        if _spelled(old, key) != _spelled(new, key)
    ]


def _leaves(config: LoopConfig) -> dict[str, Any]:
    """Return the config's values by dotted key, as plain JSON values."""
    found = {f"policy.{name}": value for name, value in config.policy.items()}
    for key in EFFECTS:
        if key != "policy":
            value: Any = config
            for name in key.split("."):
                value = getattr(value, name)
            found[key] = msgspec.to_builtins(value)
    found["learning.delay"] = "provisional" if config.provisional else "wait"
    found["learning.decay"] = config.decay
    return found


def _spelled(leaves: dict[str, Any], key: str) -> bytes | None:
    # As the name of a line spells it, so that 0.0 and -0.0 are two things here if they are there.
    return msgspec.json.encode(leaves[key], order="deterministic") if key in leaves else None
