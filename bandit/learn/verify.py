"""Deciding again: a logged decision is made once more from what was logged, and compared with the log.

The policy's state comes from the nearest checkpoint and the fold; what the guards knew of the loop's past comes from
the decision itself. Everything else is computed by the code that served.
"""

import msgspec
import numpy as np

from bandit.decide import DecisionRequest, Frame, decide
from bandit.learn.logged_past import past_of
from bandit.policies.base import Policy
from bandit.settings import LoopConfig
from store.errors import HoneyguideError
from store.records import Decision

CLOSE = 1e-9
"""How far probabilities may differ where another processor or library computed them."""


class Comparison(msgspec.Struct, frozen=True):
    """Whether a decision made again is the one that was logged; `difference` is the largest of any probability.

    `reason` says what differs, or why it could not be made again; null where nothing does.
    """

    matches: bool
    difference: float | None
    reason: str | None


def verify(decision: Decision, policy: Policy, secret: bytes, config: LoopConfig, learned: int) -> Comparison:
    """Make a decision again, with the policy in the state that made it, and compare.

    `config` is the one that was in force, and `learned` how many settled decisions the state knows.
    """
    request = msgspec.json.decode(decision.request, type=DecisionRequest)
    logged = past_of(decision)
    frame = Frame(
        loop=decision.loop,
        secret=secret,
        config=config,
        policy=policy,
        model_version=decision.model_version,
        learned=learned,
        past=logged,
        frequency=logged,
        revision=decision.revision,
    )
    try:
        again = decide(frame, request, decision.request, decision_id=decision.decision_id, at=decision.at)
    except HoneyguideError as error:
        return Comparison(matches=False, difference=None, reason=f"it cannot be made again: {error}")
    return compare(decision, again)


def compare(logged: Decision, again: Decision) -> Comparison:
    """Compare two decisions: who was eligible, who decided, the distributions, and what was drawn."""
    for what in ("actions", "component"):
        before, now = getattr(logged, what), getattr(again, what)
        if before != now:
            return Comparison(matches=False, difference=None, reason=f"{what} was {before!r} and is now {now!r}")
    if len(logged.ranking) != len(again.ranking):
        said = f"the ranking had {len(logged.ranking)} slots and has now {len(again.ranking)}"
        return Comparison(matches=False, difference=None, reason=said)
    difference = _difference(logged, again)
    if logged.served != again.served:
        said = f"{logged.served} was served, and would now be {again.served}"
        return Comparison(matches=False, difference=difference, reason=said)
    if difference > CLOSE:
        return Comparison(matches=False, difference=difference, reason=f"a probability differs by {difference:.3g}")
    return Comparison(matches=True, difference=difference, reason=None)


def _difference(logged: Decision, again: Decision) -> float:
    first = np.abs(np.array(logged.propensities) - np.array(again.propensities)).max()
    pairs = zip(logged.ranking, again.ranking, strict=True)
    slots = max(abs(before.propensity - now.propensity) for before, now in pairs)
    return float(max(first, slots))
