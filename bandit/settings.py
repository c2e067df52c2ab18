"""A loop's config: what `PUT /v1/loops/{loop}` takes, whole; unknown keys and parts not built yet are refused."""

from typing import Annotated, Any, Literal

import msgspec

from bandit.exploration import ExplorationConfig
from bandit.pace import BatchConfig, CheckpointConfig, Mode, check_batch
from bandit.policies.catalogue import policy_config, policy_type
from bandit.ranking.guards import GuardConfig, check_guards
from store.errors import InvalidInput
from store.ledger.rules import RewardRules

LONG_WINDOW_S = 60
"""With a longer reward window, kinds that correct exactly learn at once where `learning.delay` leaves it to them."""


class LearningConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When outcomes are learned, once the reward or the end of its window is there.

    `mode`: after each interaction, or when a `batch` is full (`micro_batch`) or its time has come (`scheduled`).
    `delay`: `wait` for the reward, or learn each decision at once as if none came, and correct it when one does
    (`provisional`); null takes the better one for the kind of policy. `decay` is how much of what was learned each
    outcome leaves, for worlds that change; null or 1 forgets nothing. At the multiples of `relearn_s` seconds a kind
    that cannot correct exactly learns its log anew, as it was corrected; null is never. `checkpoint` says how often the
    state is stored.
    """

    mode: Mode = "interaction"
    batch: BatchConfig | None = None
    delay: Literal["wait", "provisional"] | None = None
    decay: Annotated[float, msgspec.Meta(ge=0.01, le=1)] | None = None
    relearn_s: Annotated[float, msgspec.Meta(ge=60, le=31_536_000)] | None = None
    release: Literal["auto"] = "auto"
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self) -> None:
        check_batch(self.mode, self.batch)

    @property
    def in_batches(self) -> bool:
        """Whether the state that serves moves from cut to cut, not with each outcome."""
        return self.mode != "interaction"


class FeatureConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which feature service serves a loop; none yet, features come with the request."""

    service: None = None


class HoldoutConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of decisions that the baseline serves; 0 for now."""

    share: Literal[0] = 0


class FallbackConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides when the policy cannot: every eligible action alike, or the caller's first choice."""

    kind: Literal["uniform", "baseline"] = "uniform"


class LoopConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole config of a loop. `policy` is checked by the policy's own kind, and kept with its defaults."""

    policy: dict[str, Any] = msgspec.field(default_factory=lambda: {"kind": "linear_ts"})
    reward: RewardRules = RewardRules()
    exploration: ExplorationConfig = ExplorationConfig()
    guards: tuple[GuardConfig, ...] = ()
    learning: LearningConfig = LearningConfig()
    features: FeatureConfig = FeatureConfig()
    holdout: HoldoutConfig = HoldoutConfig()
    fallback: FallbackConfig = FallbackConfig()

    def __post_init__(self) -> None:
        settings = msgspec.to_builtins(policy_config(self.policy))
        # Frozen for everyone else: the defaults are written out once, so that two configs that mean the same are equal.
        kind = policy_type(self.policy)
        msgspec.structs.force_setattr(self, "policy", {"kind": kind.kind, **settings})
        if self.decay < 1 and not kind.forgets:
            raise InvalidInput(f"learning.decay is {self.decay!r}, but {kind.kind!r} cannot forget: leave it out")
        if self.learning.delay == "provisional" and not self._corrects:
            raise InvalidInput(
                f'learning.delay is "provisional", but {self._policy_name} cannot take back what it learned: '
                'use "wait", or leave it out'
            )
        if self.learning.delay == "provisional" and self.reward.credit == "cascade":
            raise InvalidInput(
                'learning.delay is "provisional" and reward.credit "cascade": what a slot had learned could not be '
                'taken back once a reward shows that it was not looked at: use "wait", or leave it out'
            )
        if self.learning.relearn_s is not None and self._corrects:
            raise InvalidInput(
                f"learning.relearn_s is {self.learning.relearn_s!r}, but {self._policy_name} corrects exactly what it "
                "learned, so learning it anew would change nothing: leave it out"
            )
        self._check_conservative()
        if self.guards:
            check_guards(self.guards, cap=self.exploration.cap, floor=self.exploration.floor)
            for entry in self.exploration.schedule or ():
                check_guards(self.guards, cap=entry.cap, floor=entry.floor)

    def _check_conservative(self) -> None:
        span = self.reward.range
        if self.exploration.conservative is not None and (span is None or span[0] < 0 or span[1] <= 0):
            raise InvalidInput(
                f"exploration.conservative is set and reward.range is {span!r}; a share of the baseline's reward means "
                "something only where rewards are between known bounds of at least 0: set reward.range, such as [0, 1]"
            )

    @property
    def provisional(self) -> bool:
        """Whether a decision is learned at once and corrected later, or waits for its outcome."""
        if self.learning.delay is not None:
            return self.learning.delay == "provisional"
        return self._corrects and self.reward.window_s > LONG_WINDOW_S and self.reward.credit != "cascade"

    @property
    def _corrects(self) -> bool:
        hashed = self.policy.get("hash_bits") is not None
        return policy_type(self.policy).corrects and not hashed

    @property
    def _policy_name(self) -> str:
        return repr(self.policy["kind"]) + (" with hash_bits" if self.policy.get("hash_bits") is not None else "")

    @property
    def decay(self) -> float:
        """What each outcome leaves of what was learned; 1 forgets nothing."""
        return 1.0 if self.learning.decay is None else self.learning.decay


def read_config(body: bytes) -> LoopConfig:
    """Read a config from JSON.

    Raises:
        InvalidInput: for an unknown key, a wrong type or a broken rule, named with its path.

    """
    try:
        return msgspec.json.decode(body, type=LoopConfig)
    except msgspec.ValidationError as error:
        raise _explained(error) from None


def as_stored(config: LoopConfig) -> LoopConfig:
    """Return the config as it comes back from a store: the same, but with `0.0` for a default that is written `0`."""
    return read_config(msgspec.json.encode(config))


def _explained(error: msgspec.ValidationError) -> InvalidInput:
    if isinstance(error.__cause__, InvalidInput):
        return error.__cause__
    return InvalidInput(
        f"{error}; keys and values are listed in the reference page on loop configuration, "
        "where what is not built yet accepts its default only"
    )
