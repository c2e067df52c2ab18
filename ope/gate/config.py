"""What a gate is asked: who, against whom, and by which rules; checked, and with a digest that names it."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from ope.diagnostics.question import Asked, version_position
from ope.diagnostics.roles import Roles
from ope.diagnostics.thresholds import limits
from ope.errors import InvalidRequest
from ope.gate.methods import METHODS
from ope.intervals.ask import Range
from ope.policies import Policy, parse_policy

LOGGED = "logged"
"""The champion where none is named: the policy that made the log."""
EXPORTED = Roles()


def learns_nothing(policy: str | None) -> bool:
    """Say whether a policy is one that no log has taught anything."""
    return policy is not None and (policy in {"uniform", LOGGED} or policy.startswith("fixed:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The whole of a gate's config, each field the command's option of its name; see docs/reference/gate.md.

    `margin` and `reward_range` are in reward units, `window_s` in seconds. Raises InvalidRequest where a field breaks
    its rule.
    """

    reward_range: tuple[float, float]
    policy: str | None = None
    against: str = LOGGED
    margin: float = 0.0
    alpha: float = 0.05
    method: str = "betting"
    min_ess: float = 100
    min_outcomes: int = 1000
    window_s: float | None = None
    target_version: str | None = None
    trained_elsewhere: bool = False
    thresholds: tuple[str, ...] = ()
    roles: Roles = EXPORTED

    def __post_init__(self) -> None:
        """Refuse what breaks a rule."""
        Range(*self.reward_range)
        self._check_numbers()
        if self.method not in METHODS:
            raise InvalidRequest(f"unknown method {self.method!r}; the methods are {', '.join(METHODS)}.")
        if self.policy == self.against:
            raise InvalidRequest(
                f"--policy {self.policy} is the champion itself; name another with --policy, or with --against."
            )
        self.asked()
        self.other()

    @property
    def width(self) -> float:
        """How far the most that can be earned is from the least."""
        return self.reward_range[1] - self.reward_range[0]

    def mean_at(self, lift: float) -> float:
        """Return the mean of the outcomes that a lift in reward units makes, from 0 to 1."""
        return (1 + lift / self.width) / 2

    def asked(self) -> Asked:
        """Return what the linter is asked of the candidate."""
        window = None if self.window_s is None else round(self.window_s * 1e6)
        trained = None if self.target_version is None else version_position(self.target_version)
        candidate = () if self.policy is None else (parse_policy(self.policy),)
        return Asked(limits(self.thresholds), candidate, (), self.reward_range, window, trained)

    def other(self) -> Policy | None:
        """Return the champion, or None where it is the policy that logged."""
        return None if self.against == LOGGED else parse_policy(self.against)

    def digest(self) -> str:
        """Return what names this config: two that differ in anything have different ones."""
        return hashlib.sha256(json.dumps(_floats(asdict(self)), sort_keys=True).encode()).hexdigest()

    def _check_numbers(self) -> None:
        if not abs(self.margin) < self.width:
            raise InvalidRequest(
                f"--margin is {self.margin:g}; with rewards in {self.reward_range[0]:g},{self.reward_range[1]:g} a "
                f"lift is between -{self.width:g} and {self.width:g}. Give the smallest lift that is worth a change."
            )
        if not 0 < self.alpha < 1:
            raise InvalidRequest(f"--alpha is {self.alpha:g}; it is between 0 and 1, both excluded. Try 0.05.")
        for name, value in (("min-ess", self.min_ess), ("min-outcomes", self.min_outcomes)):
            if not 0 <= value < math.inf:
                raise InvalidRequest(f"--{name} is {value:g}; it is a number of rows, from 0 on.")


def _floats(value: object) -> object:
    """Return the value with every number as a float: 1 and 1.0 say the same."""
    if isinstance(value, dict):
        return {name: _floats(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_floats(one) for one in value]
    return float(value) if isinstance(value, int) else value
