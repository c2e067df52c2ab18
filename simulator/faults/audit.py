"""The audit: holds a store against what was acknowledged, and a line's checkpoints against the fold of its log.

It reads through the ports, and says in words what is wrong; an empty list is a log that kept its promises.
"""

from collections import Counter
from collections.abc import Iterator

from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line
from bandit.learn.learner import Learner
from bandit.settings import read_config
from simulator.faults.callers import Notes, reward_id
from store.ports import Store
from store.records import Decision, Example, Outcome
from store.registry.statefile import digest

_CHUNK = 500
_EVER = 2**62


def losses(store: Store, notes: Notes) -> list[str]:
    """Return what was acknowledged and is not in the store as it was acknowledged, or is there twice."""
    found = list(notes.disagreements)
    for (loop, decision_id), told in notes.served.items():
        decision = store.decision(loop, decision_id)
        if decision is None:
            found.append(f"decision {loop}/{decision_id} was acknowledged and is not there")
        elif (decision.served, decision.model_version) != told:
            found.append(f"decision {loop}/{decision_id} was answered {told} and is stored otherwise")
    for (loop, decision_id), value in notes.rewarded.items():
        values = [r.value for r in store.rewards(loop, decision_id) if r.reward_id == reward_id(decision_id)]
        if values != [value]:
            found.append(f"the reward {value} of {loop}/{decision_id} was acknowledged; the ledger has {values}")
    return found


def disorder(store: Store, loop: str) -> list[str]:
    """Return what contradicts itself in a loop's log: ids that are there twice, totals that are not sums, gaps.

    For loops whose rewards all came after their decision, and settle it once.
    """
    decisions = list(_decisions(store, loop))
    rewards = [r for d in decisions for r in store.rewards(loop, d.decision_id)]
    outcomes = [example.outcome for example in _examples(store, loop)]
    found = _twice("decision", (d.decision_id for d in decisions))
    found += _twice("reward", (r.reward_id or "" for r in rewards))
    found += _twice("outcome", (f"{o.kind} of {o.decision_id}" for o in outcomes))
    counts = store.counts(loop)
    for what, counted, there in (("decisions", counts.decisions, decisions), ("rewards", counts.rewards, rewards)):
        if counted != len(there):
            found.append(f"loop {loop} counts {counted} {what} and has {len(there)}")
    return found + _gaps(loop, outcomes)


def forgotten(store: Store, loop: str, *, closed_in_order: bool = True) -> list[str]:
    """Fold the loop's log from its beginning and return where a checkpoint of its line differs from that, bit for bit.

    With `closed_in_order` there must be a checkpoint at the end of the log, as a server leaves one when it stops.
    """
    learner, end = _fresh(store, loop), store.log_position(loop)
    stored = {c.position: c for c in store.checkpoints(loop, learner.line)}
    found = []
    for position in [*sorted(p for p in stored if p <= end), end]:
        while advance(store, loop, learner, through=position, limit=_CHUNK) is not None:
            pass
        checkpoint = stored.get(position)
        if checkpoint and not digest(learner.policy.dump()) == checkpoint.digest == digest(checkpoint.state):
            found.append(f"checkpoint {learner.model_version} of loop {loop} is not the fold of its log")
    if any(position > end for position in stored):
        found.append(f"loop {loop} has checkpoints at {sorted(stored)}, beyond its log of {end}")
    if closed_in_order and learner.position not in stored:
        found.append(f"loop {loop} has no checkpoint at {learner.position}, where its log ends")
    return found


def _fresh(store: Store, loop: str) -> Learner:
    [record] = [record for record in store.loops() if record.name == loop]
    return begin_line(store, loop, read_config(record.config))


def _decisions(store: Store, loop: str) -> Iterator[Decision]:
    after = 0
    while rows := store.logged(loop, since=0, until=_EVER, after=after, limit=_CHUNK):
        for row in rows:
            yield row.decision
        after = rows[-1].decision.position


def _examples(store: Store, loop: str) -> Iterator[Example]:
    after = 0
    while examples := store.examples(loop, after=after, limit=_CHUNK):
        yield from examples
        after = examples[-1].outcome.position


def _twice(what: str, ids: Iterator[str]) -> list[str]:
    return [f"{what} {name} is there {times} times" for name, times in Counter(ids).items() if times > 1]


def _gaps(loop: str, outcomes: list[Outcome]) -> list[str]:
    positions = [outcome.position for outcome in outcomes]
    whole = positions == list(range(1, len(positions) + 1))
    return [] if whole else [f"the outcome log of loop {loop} does not count from 1 to {len(positions)} without gaps"]
