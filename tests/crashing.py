"""A process that ends in the middle of its work, at a step of one's choice."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from store.log import durable
from store.log.sqlite import SqliteStore


class Crashed(BaseException):
    """The process ends here."""


def crash_at(step: int, patch: pytest.MonkeyPatch, *more: tuple[object, str]) -> Callable[[], int]:
    """End the process before the durable operation of that number; returns how many were begun.

    `more` are further ones, each as whose attribute it is, and its name.
    """
    begun = [0]

    def failing(whole: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(whole)
        def operation(*args: Any, **kwargs: Any) -> Any:
            begun[0] += 1
            if begun[0] == step:
                raise Crashed
            return whole(*args, **kwargs)

        return operation

    files = [(durable, name) for name in ("sync", "rename", "append", "remove")]
    for owner, name in (*files, (SqliteStore, "begin"), (SqliteStore, "commit"), *more):
        patch.setattr(owner, name, failing(getattr(owner, name)))
    return lambda: begun[0]
