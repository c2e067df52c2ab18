"""A decision made again while the server serves: in small steps, so that nobody waits for it."""

import asyncio

from bandit.learn.checkpoints import open_line
from bandit.learn.learner import Learner
from bandit.learn.lines import find_line, taint_of
from bandit.learn.replay import config_of, folded
from bandit.learn.verify import verify
from bandit.service.views import VerificationView, instant
from store.errors import Gone, HoneyguideError
from store.ports import Store
from store.records import Decision

_STEP = 16
"""Outcomes folded before the event loop serves whoever waits."""


async def verification_of(store: Store, decision: Decision) -> VerificationView:
    """Return whether a decision can be made again as it was logged, and from which state."""
    try:
        return await _made_again(store, decision)
    except HoneyguideError as error:
        return VerificationView(matches=False, difference=None, reason=str(error), checkpoint=None, folded=0)


async def _made_again(store: Store, decision: Decision) -> VerificationView:
    name, _, position = decision.model_version.rpartition("@")
    line, config = find_line(store, decision.loop, name)
    tainted = taint_of(store, line)
    if tainted is not None and int(position) >= tainted.position:
        raise Gone(
            f"{decision.model_version} cannot be made again: data that it had learned were erased at "
            f"{instant(tainted.at)}"
        )
    learner = open_line(store, decision.loop, config, through=int(position), line=line)
    _check_line(store, decision, learner)
    start = learner.position
    for _ in folded(store, decision.loop, learner, int(position), _STEP):
        await asyncio.sleep(0)
    record = config_of(store, decision)
    found = verify(decision, learner.policy, record.secret, record.config, learner.settled)
    stored = None if start == learner.began else start
    return VerificationView(found.matches, found.difference, found.reason, stored, learner.position - start)


def _check_line(store: Store, decision: Decision, learner: Learner) -> None:
    """Refuse a state of the line that began anew after the decision was made, when what came before was deleted."""
    at = min((d.at for d in store.deletions(decision.loop) if d.outcomes == learner.began), default=0)
    if decision.at < at:
        raise Gone(
            f"{decision.model_version} cannot be made again: earlier days were deleted, and its line began anew behind "
            f"outcome {learner.began} since"
        )
