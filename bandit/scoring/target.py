"""One target of an evaluation: a policy in a frozen state, asked row after row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import polars as pl

from bandit.learn.checkpoints import line_name
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.scoring.config import Stated
from bandit.scoring.row import Row
from bandit.scoring.serve import FRESH, Server, aligned
from bandit.scoring.version import Version
from bandit.settings import LoopConfig
from ope.errors import InvalidRequest
from store.errors import HoneyguideError

Find = Callable[[str], Version]
"""Finds a model version in the data folder."""


class Target(Protocol):
    """Says what it would have done in a row; one that learns goes on with it."""

    name: str

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """Look at the whole log before its first row."""

    def score(self, row: Row, number: int) -> tuple[float, list[float]]:
        """Return the probability of the logged action and the whole distribution, as `aligned` does.

        `number` counts the rows from 1. Raises `InvalidInput` for a row that cannot be scored.
        """

    def notes(self) -> Sequence[str]:
        """Say what the reader of the estimates has to know."""


class Frozen:
    """A policy that does not learn on the way: a model version, or a config in its initial state or in a version's."""

    def __init__(self, name: str, policy: Policy, server: Server, version: str, since: Version | None) -> None:
        self.name = name
        self._policy = policy
        self._server = server
        self._version = version
        self._since = since

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """There is nothing to look at."""

    def score(self, row: Row, number: int) -> tuple[float, list[float]]:
        """Return what the policy would have done."""
        learned = 0
        if self._since is not None:
            self._since.check(row, number)
            learned = self._since.learned
        return aligned(self._server.serve(row, self._policy, self._version, learned), row)

    def notes(self) -> list[str]:
        """Say whose the draws are."""
        return self._server.notes(served=self._since is not None)


def of_version(name: str, version: Version) -> Frozen:
    """Return a model version as a target."""
    return Frozen(name, version.policy, Server(version.config, version.secret), version.name, version)


def of_config(name: str, stated: Stated, find: Find) -> Frozen:
    """Return a config as a target, in its initial state or in the one that it refers to.

    Raises InvalidRequest for a state of another kind of policy.
    """
    config = stated.config
    if stated.state is None:
        return Frozen(name, fresh(config), Server(config, FRESH), f"{line_name(config)}@0", None)
    version = find(stated.state)
    policy = _with_state(name, config, version, stated.state)
    return Frozen(name, policy, Server(config, version.secret), version.name, version)


def fresh(config: LoopConfig) -> Policy:
    """Return a config's policy in its initial state."""
    return policy_type(config.policy).create(policy_config(config.policy), decay=config.decay)


def _with_state(name: str, config: LoopConfig, version: Version, said: str) -> Policy:
    kind = policy_type(config.policy)
    if kind.kind != version.policy.kind:
        raise InvalidRequest(
            f"--policy {name}: its policy is {kind.kind!r}, and its state {said} is of {version.policy.kind!r}. "
            "Name a version of the same kind."
        )
    try:
        return kind.load(policy_config(config.policy), version.policy.dump(), decay=config.decay)
    except (HoneyguideError, ValueError, KeyError) as error:
        raise InvalidRequest(f"--policy {name}: the state {said} does not fit its settings ({error!r}).") from error
