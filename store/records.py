"""The nouns that are written down: frozen values, validated when made.

Times are integer microseconds since 1970-01-01 UTC. Ids are per loop.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from store.errors import InvalidInput

Clock: TypeAlias = Callable[[], int]
"""Returns the current time in microseconds since 1970-01-01 UTC."""

SECOND = 1_000_000
MAX_ID_LENGTH = 256
LARGEST = 1e15
"""Larger features and rewards are refused: their squares, summed over a log, are more than float64 can count."""
OutcomeKind: TypeAlias = Literal["provisional", "rewarded", "expired", "censored", "corrected", "erased"]
"""`provisional`: learned before its window has passed. `rewarded`, `expired`, `censored`: how it settled: with a
reward, without one, or never shown. `corrected`: changed after that. `erased`: any of these, before its decision was
erased."""

_SUM_TOLERANCE = 1e-9


def check_id(what: str, value: str) -> None:
    """Refuse an id that is empty or longer than 256 characters."""
    if not 0 < len(value) <= MAX_ID_LENGTH:
        raise InvalidInput(
            f"{what} has {len(value)} characters; an id has 1 to {MAX_ID_LENGTH}: choose another or leave it out"
        )


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate: its id and its features (nested JSON of numbers, strings, booleans, numeric lists)."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    features: dict[str, Any] = {}


class Slot(msgspec.Struct, frozen=True):
    """One position of a served ranking.

    `propensity` is conditional on the slots above. `explored` says that the action is not the greedy one `g`.
    `reason` names the guards that acted on the slot and what forced it, or is null.
    """

    action: str
    propensity: float
    explored: bool
    reason: str | None = None


class Odds(msgspec.Struct, frozen=True, array_like=True):
    """What can be said of a slot's draw without its whole distribution, fixed before the draw.

    `supported` actions had a probability above 0, `least` is the smallest of these, and `exploration` the probability
    that the slot is not the greedy action.
    """

    supported: int
    least: float
    exploration: float


class Law(msgspec.Struct, frozen=True, array_like=True):
    """What the slots of a ranking were computed from, beside what the decision says anyway.

    `guards` is a fingerprint of the ranking guards in force ("" for none), `shape` that of the policy's belief and
    `numbers` its arrays, none where it has or could log none. `new` are the indices of the actions under a ceiling.
    """

    guards: str
    shape: str
    numbers: list[list[float]]
    new: list[int] = []


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One served ranking with the full distribution that its first slot was sampled from.

    `request` is the body as it was sent, `actions` the eligible action ids in canonical (sorted) order,
    `propensities` and `predicted` (the model's mean reward, or null) are aligned with them. `position` is the place
    in the decision log (0 until it is appended). `due` is when the reward window closes. `exploration` is the
    probability, fixed before the draw, that the first slot is not the greedy action; `trace` names the caps and guards
    that acted, `guard_state` holds the numbers that they acted on. `withheld` are the ids that what was served before
    kept from being eligible, `short` says why a ranking has fewer slots than were asked for. `law` is what a ranking of
    several slots was computed from, None where it is not known. A `deferred` one is never learned unless it is
    activated before its window closes. `odds` are those of the slots below the first, empty where they are not known.
    `revision` is that of the loop's config, 0 where it is not known. One that was erased says when, in `erased_at`, and
    keeps nothing else but its id, its times and its place.
    """

    loop: str
    decision_id: str
    at: int
    due: int
    request: bytes
    actions: list[str]
    propensities: list[float]
    predicted: list[float] | None
    ranking: list[Slot]
    policy: str
    model_version: str
    component: str = "champion"
    fallback: str | None = None
    trace: list[str] = []
    exploration: float = 0.0
    position: int = 0
    guard_state: dict[str, float] = {}
    withheld: list[str] = []
    short: str | None = None
    law: Law | None = None
    deferred: bool = False
    odds: list[Odds] = []
    revision: int = 0
    erased_at: int | None = None

    def __post_init__(self) -> None:
        check_id("decision_id", self.decision_id)
        if self.erased_at is not None:
            return
        if not self.ranking or len(self.actions) != len(self.propensities):
            raise InvalidInput("a decision needs a ranking and one propensity per eligible action")
        total = math.fsum(self.propensities)
        if min(self.propensities) < 0 or not abs(total - 1) <= _SUM_TOLERANCE:
            raise InvalidInput(f"propensities sum to {total!r}; a distribution has none below 0 and sums to 1")
        if self.due < self.at:
            raise InvalidInput(f"the reward window closes at {self.due}, before the decision at {self.at}")

    def placed(self, position: int) -> "Decision":
        """Return the decision at its place in the log; nothing else of it changes, so nothing is checked again."""
        decision = copy.copy(self)
        msgspec.structs.force_setattr(decision, "position", position)
        return decision

    def erased(self, at: int) -> "Decision":
        """Return what is left of the decision when it is erased."""
        return tombstone(
            loop=self.loop,
            decision_id=self.decision_id,
            at=self.at,
            due=self.due,
            position=self.position,
            erased_at=at,
        )

    @property
    def served(self) -> list[str]:
        """The ids of the ranking's actions, best slot first."""
        return [slot.action for slot in self.ranking]

    @property
    def slate_propensity(self) -> float:
        """The probability of the whole ranking: the product of its slots' conditional propensities."""
        return math.prod(slot.propensity for slot in self.ranking)


def tombstone(*, loop: str, decision_id: str, at: int, due: int, position: int, erased_at: int) -> Decision:
    """Return a decision of which nothing is left but its id, its times and its place."""
    return Decision(
        loop=loop,
        decision_id=decision_id,
        at=at,
        due=due,
        request=b"",
        actions=[],
        propensities=[],
        predicted=None,
        ranking=[],
        policy="",
        model_version="",
        position=position,
        erased_at=erased_at,
    )


RewardStatus: TypeAlias = Literal["joined", "extra", "early", "late", "dropped", "erased"]


class Reward(msgspec.Struct, frozen=True, kw_only=True):
    """A number reported for a decision.

    `occurred_at` is the caller's word for when it happened, `received_at` ours for when it arrived; the window is
    judged by `received_at`. `status` says what became of it: `joined` counts, `extra` came after another had settled
    what it is for, `early` waits for its decision, `late` came after the window and changes nothing, `dropped` waited
    in vain, `erased` was any of these before its decision was erased.
    """

    loop: str
    decision_id: str
    value: float
    received_at: int
    occurred_at: int
    reward_id: str | None = None
    slot: int | None = None
    component: str | None = None
    status: RewardStatus = "joined"

    def __post_init__(self) -> None:
        check_id("decision_id", self.decision_id)
        if self.reward_id is not None:
            check_id("reward_id", self.reward_id)
        if not abs(self.value) <= LARGEST:
            raise InvalidInput(f"value is {self.value!r}; a reward is a finite number of at most 1e15: rescale it")

    def erased(self) -> "Reward":
        """Return what is left when its decision is erased: its id, so that it is known when sent again."""
        return msgspec.structs.replace(
            self, value=0.0, slot=None, component=None, occurred_at=self.received_at, status="erased"
        )


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """What the rewards of one slot and one component come to; null is the whole slate, or a reward without name."""

    slot: int | None
    component: str | None
    value: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the outcome log, which learning is a fold over.

    `position` counts from 1 within the loop without gaps. `value` is what the whole ranking earned, `earned` what it
    is made of: empty where nothing came, or one reward for the whole slate; `unrewarded` is what a slot without a
    reward was worth then. An entry that replaces another one of its
    decision names it in `revises`, that one's value in `previous`, and the decision's first entry in `root`.
    """

    loop: str
    position: int
    decision_id: str
    kind: OutcomeKind
    value: float
    at: int
    previous: float | None = None
    earned: tuple[Cell, ...] = ()
    unrewarded: float = 0.0
    revises: int | None = None
    root: int | None = None

    @property
    def slot(self) -> int | None:
        """The one slot that earned it all, or None."""
        slots = {cell.slot for cell in self.earned}
        return slots.pop() if len(slots) == 1 else None

    def erased(self) -> "Outcome":
        """Return what is left of the entry when its decision is erased: its place and its link."""
        return msgspec.structs.replace(self, kind="erased", value=0.0, previous=None, earned=(), unrewarded=0.0)

    @property
    def settled(self) -> bool:
        """Whether the decision's window has passed, or needs no waiting for."""
        return self.kind != "provisional"


class Example(msgspec.Struct, frozen=True):
    """What a policy learns from: an outcome, its decision, and the entry that the outcome revises, or None."""

    outcome: Outcome
    decision: Decision
    before: Outcome | None = None


class Logged(msgspec.Struct, frozen=True):
    """A decision and its newest outcome, or None while it is open."""

    decision: Decision
    outcome: Outcome | None


class Due(msgspec.Struct, frozen=True):
    """An open decision whose window has passed, its newest entry in the outcome log, or None, and its rewards."""

    decision: Decision
    outcome: Outcome | None
    rewards: Sequence[Reward]


class LoopRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A loop as stored: its config as JSON, the secret that seeds its randomness, and a revision for ETags."""

    name: str
    config: bytes
    secret: bytes
    revision: int
    updated_at: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A line's state after folding the outcome log through `position`, with what is needed to trust it.

    `settled` is how many of these outcomes were the settling of a decision. The line began behind the position `began`
    of the outcome log: 0, or where the log then began.
    """

    loop: str
    line: str
    position: int
    settled: int
    state: bytes
    digest: str
    fingerprint: str
    at: int
    began: int = 0


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a loop's propensity audit, which contains its decisions through `position` of the decision log."""

    loop: str
    position: int
    state: bytes
    at: int


class Relearning(msgspec.Struct, frozen=True, kw_only=True):
    """That a line learned its log anew behind `position`: from there on the state is another one than folding gave.

    What it goes on from is made of the newest outcome, through `position`, of each decision, in the order of the first;
    of those whose first outcome is behind `since`, where the log then began.
    """

    loop: str
    line: str
    position: int
    at: int
    since: int = 0


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """That a loop's decisions through the position `decisions` of the decision log were deleted, with all their rows.

    `outcomes` is the newest outcome of any decision deleted so far: the outcome log can be read from the next one on.
    """

    loop: str
    decisions: int
    outcomes: int
    at: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """A loop's running totals; `expected_exploration` sums each decision's probability off the greedy action."""

    decisions: int = 0
    rewards: int = 0
    duplicate_rewards: int = 0
    early_rewards: int = 0
    late_rewards: int = 0
    extra_rewards: int = 0
    dropped_rewards: int = 0
    waiting_rewards: int = 0
    skewed_rewards: int = 0
    disordered_rewards: int = 0
    activated: int = 0
    provisional: int = 0
    rewarded: int = 0
    expired: int = 0
    censored: int = 0
    corrected: int = 0
    erased: int = 0
    explored: int = 0
    expected_exploration: float = 0.0
    fallbacks: int = 0
