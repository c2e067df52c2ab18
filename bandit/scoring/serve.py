"""What a policy would have served in a logged row: the code that serves, with the row's logged guard state."""

from collections import Counter

from bandit.decide import Frame, decide
from bandit.exploration import ExplorationConfig
from bandit.policies.base import Belief, Frozen, Policy
from bandit.policies.situation import Situation
from bandit.scoring.row import Row
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import Decision

FRESH = b"honeyguide ope"
"""Seeds the posterior draws of a policy whose loop's secret is not at hand."""
_LOGGED_AS = {"budget": "allowance", "ceiling": "new_actions", "conservative": "gate_open"}
"""The guards that look at a loop's past, and the number of the guard state that says what they knew."""


class Watched:
    """A policy that counts how often its posterior draws were asked for."""

    __slots__ = ("drawn", "kind", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.kind = policy.kind
        self.drawn = 0

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return what the policy believes."""

        def counted() -> object:
            self.drawn += 1
            return frozen()

        return self.policy.believe(situation, counted)  # type: ignore[arg-type]  # it returns what `frozen` does


class Server:
    """Serves logged rows under a config; `secret` seeds posterior draws, `fallbacks` counts what failed, by reason."""

    def __init__(self, config: LoopConfig, secret: bytes) -> None:
        self.config = config
        self.secret = secret
        self.drawn = 0
        self.fallbacks: Counter[str] = Counter()

    def serve(self, row: Row, policy: Policy, version: str, learned: int) -> Decision:
        """Return the decision that a policy's state makes, with its whole first distribution.

        Raises `InvalidInput` where the row lacks what the guards knew, or nothing can be served.
        """
        _check_guards(self.config.exploration, row)
        watched = Watched(policy)
        frame = Frame(
            loop=row.loop or "log",
            secret=self.secret,
            config=self.config,
            policy=watched,  # type: ignore[arg-type]  # of a policy, deciding asks `kind` and `believe`
            model_version=version,
            learned=learned,
            past=row.past,
        )
        made = decide(frame, row.request, b"", decision_id=row.decision_id, at=row.at or 0)
        self.drawn += watched.drawn
        if made.fallback is not None:
            self.fallbacks[made.fallback] += 1
        return made

    def notes(self, *, served: bool) -> list[str]:
        """Say whose draws they were, and how often the fallback decided; `served`: as the loop that serves draws."""
        found = [f"{count:,} rows are decided by the fallback: {why}" for why, count in self.fallbacks.most_common(3)]
        if self.drawn:
            whose = "those frozen at serving, by the loop's secret" if served else "fresh, seeded by the decision's id"
            found.insert(0, f"its posterior draws are {whose}")
        return found


def aligned(decision: Decision, row: Row) -> tuple[float, list[float]]:
    """Return the probability of the logged action, and all, each where the logged distribution has it."""
    whole = [0.0] * len(row.places)
    for action, p in zip(decision.actions, decision.propensities, strict=True):
        whole[row.places[action]] = p
    return whole[row.places[row.action]], whole


def _check_guards(config: ExplorationConfig, row: Row) -> None:
    if config.mode != "on":
        return
    for guard, number in _LOGGED_AS.items():
        if getattr(config, guard) is not None and number not in (row.state or {}):
            raise InvalidInput(
                f"exploration.{guard} looks at the loop's past, which this row's guard_state does not tell. Export the "
                f"log anew if it was served with one, or leave exploration.{guard} out of the config"
            )
