"""Lines and checkpoints: what names a line, and how its state is stored and found again."""

import functools
import hashlib
import importlib.metadata
import logging
import platform

import msgspec
from threadpoolctl import threadpool_info

from bandit.compiled import host_processor
from bandit.learn.learner import Learner
from bandit.learn.reach import leads
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.settings import LoopConfig
from store.errors import Gone, InvalidInput
from store.lineage import Line
from store.ports import Store
from store.records import Checkpoint
from store.registry.statefile import digest

_log = logging.getLogger(__name__)

ENCODING = 1
"""Raised when the reading of features changes, so that lines which learned the old reading keep their name."""


def line_name(config: LoopConfig) -> str:
    """Name a line by what it learns: the policy's kind, and a hash of its settings, decay, reward and encoding."""
    reward = {"credit": config.reward.credit, "components": config.reward.components}
    content = msgspec.json.encode(
        {"policy": config.policy, "decay": config.decay, "reward": reward, "encoding": ENCODING}, order="deterministic"
    )
    return f"{config.policy['kind']}-{hashlib.sha256(content).hexdigest()[:8]}"


@functools.cache
def numerics_fingerprint() -> str:
    """Name what the last bits of a state depend on: libraries, BLAS kernels and processor."""
    libraries = [f"{name}={_version(name)}" for name in ("numpy", "scipy", "numba", "vowpal-wabbit-next")]
    blas = sorted(f"{lib['internal_api']}={lib.get('architecture', '')}" for lib in threadpool_info())
    processor = f"{platform.machine()}/{host_processor()}"
    return " ".join([processor, f"python={platform.python_version()}", *libraries, *blas])


_NEWEST = 2**62


def begin_line(
    store: Store, loop: str, config: LoopConfig, line: Line | None = None, began: int | None = None
) -> Learner:
    """Return a line at its beginning, the config's own unless named, which knows where it learned the log anew.

    It begins behind the position `began`, or where the loop's log begins now.
    """
    line = line or Line(loop=loop, name=line_name(config))
    kind, settings = policy_type(config.policy), policy_config(config.policy)
    began = store.log_start(loop) - 1 if began is None else began
    # What a line of the same name learned anew before this one began is not this one's.
    relearnings = {r.position: r.since for r in store.relearnings(loop, line.name) if r.since >= began}
    fresh = functools.partial(kind.create, settings, decay=config.decay)
    return Learner(
        line.name,
        fresh(),
        config.reward,
        began,
        relearnings=relearnings,
        fresh=fresh,
        began=began,
        passes_over=line.passes_over,
    )


def resume_line(
    store: Store, loop: str, config: LoopConfig, checkpoint: Checkpoint, line: Line | None = None
) -> Learner:
    """Return the line in the state that was stored. Raises `InvalidInput` where that is damaged."""
    if digest(checkpoint.state) != checkpoint.digest:
        raise InvalidInput("its digest does not match")
    learner = begin_line(store, loop, config, line, checkpoint.began)
    learner.policy = _load(config, checkpoint.state)
    learner.position, learner.settled = checkpoint.position, checkpoint.settled
    return learner


def open_line(store: Store, loop: str, config: LoopConfig, through: int = _NEWEST, line: Line | None = None) -> Learner:
    """Return a line, the config's own unless named, from its newest sound checkpoint at or before `through`, if any.

    Where what lies between a checkpoint and `through` was deleted, that one is passed over. A line that is opened to go
    on begins anew then, in what is left of the log.

    Raises `Gone` where the state at `through` needs what was deleted.
    """
    name, start = line.name if line else line_name(config), store.log_start(loop) - 1
    began = None if through < _NEWEST and start else start
    relearnings = store.relearnings(loop, name)
    for checkpoint in store.checkpoints(loop, name):
        if checkpoint.position > through:
            began = checkpoint.began
        elif leads(checkpoint, relearnings, start, through):
            try:
                return resume_line(store, loop, config, checkpoint, line)
            except InvalidInput as error:
                version = f"{name}@{checkpoint.position}"
                _log.warning("checkpoint %s of loop %r is skipped: %s; an older one is used", version, loop, error)
    if began is None or not start <= began <= through:
        raise Gone(
            f"{name}@{through} of loop {loop!r} cannot be made again: earlier days were deleted, the outcome log "
            f"begins at {start + 1}, and no stored state leads there from where it can be read"
        )
    if began:
        _log.warning("line %s of loop %r begins at outcome %s: earlier days were deleted", name, loop, began + 1)
    return begin_line(store, loop, config, line, began)


def copy_of(learner: Learner, config: LoopConfig) -> Learner:
    """Return a learner in the same state that goes on by itself; `config` is that of its line."""
    return learner.with_policy(_load(config, learner.policy.dump()))


def _load(config: LoopConfig, state: bytes) -> Policy:
    return policy_type(config.policy).load(policy_config(config.policy), state, decay=config.decay)


def checkpoint_of(loop: str, learner: Learner, at: int) -> Checkpoint:
    """Return the learner's state as a checkpoint."""
    state = learner.policy.dump()
    return Checkpoint(
        loop=loop,
        line=learner.line,
        position=learner.position,
        settled=learner.settled,
        state=state,
        digest=digest(state),
        fingerprint=numerics_fingerprint(),
        at=at,
        began=learner.began,
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
