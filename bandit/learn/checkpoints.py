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
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.settings import LoopConfig
from store.errors import InvalidInput
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


def begin_line(store: Store, loop: str, config: LoopConfig, line: Line | None = None) -> Learner:
    """Return a line at its beginning, the config's own unless named, which knows where it learned the log anew."""
    line = line or Line(loop=loop, name=line_name(config))
    kind, settings = policy_type(config.policy), policy_config(config.policy)
    relearnings = tuple(there.position for there in store.relearnings(loop, line.name))
    fresh = functools.partial(kind.create, settings, decay=config.decay)
    return Learner(
        line.name, fresh(), config.reward, relearnings=relearnings, fresh=fresh, passes_over=line.passes_over
    )


def open_line(store: Store, loop: str, config: LoopConfig, through: int = _NEWEST, line: Line | None = None) -> Learner:
    """Return a line, the config's own unless named, from its newest sound checkpoint at or before `through`, if any."""
    learner = begin_line(store, loop, config, line)
    for checkpoint in store.checkpoints(loop, learner.line):
        if checkpoint.position > through:
            continue
        try:
            if digest(checkpoint.state) != checkpoint.digest:
                raise InvalidInput("its digest does not match")
            learner.policy = _load(config, checkpoint.state)
        except InvalidInput as error:
            version = f"{learner.line}@{checkpoint.position}"
            _log.warning("checkpoint %s of loop %r is skipped: %s; an older one is used", version, loop, error)
        else:
            learner.position, learner.settled = checkpoint.position, checkpoint.settled
            break
    return learner


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
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
