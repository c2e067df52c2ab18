"""Speak to a running server over HTTP: one method per route, and retries that count nothing twice.

A decision and a reward carry an id that this side makes when the caller gives none, so the request
that is sent again is the same request, and the server answers it as it did before. It knows the
REST contract only: nothing here may decide, learn or read a store.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx2

from bandit.calling import (
    ApiError,
    Call,
    Caller,
    ClientError,
    Json,
    NotLearned,
    Retries,
    Unreachable,
)

__all__ = ["ApiError", "Client", "ClientError", "NotLearned", "Retries", "Unreachable"]

# A long poll ends before the 30 s after which the most impatient proxies cut a silent connection.
_LONGEST_POLL_S = 25.0


class Client:
    """A keep-alive connection pool to one server; threads may share it.

    `base_url` is the server's root (`http://127.0.0.1:8080`), without `/v1`. `timeout_s` bounds
    each attempt. `trust_env` lets HTTP_PROXY and its kin apply, as httpx2 does. Every method
    returns the JSON of the answer as it stands in the REST contract, and raises `ApiError` when the
    server refuses or `Unreachable` when none answers.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 10.0,
        retries: Retries | None = None,
        transport: httpx2.BaseTransport | None = None,
        trust_env: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        http = httpx2.Client(base_url=base_url, transport=transport, trust_env=trust_env)
        self._caller = Caller(http, timeout_s=timeout_s, retries=retries or Retries(), sleep=sleep)
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._caller.http.close()

    def ready(self) -> bool:
        """Whether the server serves now; asks once, without retries."""
        try:
            return self._caller.http.get("/readyz").status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def put_loop(self, name: str, config: Mapping[str, Any]) -> Json:
        """Make the loop `name`, or replace its whole config."""
        return self._caller.send(Call("PUT", _loop_path(name), body=dict(config)))

    def changes(self, name: str, config: Mapping[str, Any]) -> Json:
        """Return what `put_loop` would change, key by key, and change nothing."""
        return self._caller.send(Call("PUT", _loop_path(name), body=dict(config), params={"dry_run": "true"}))

    def loop(self, name: str) -> Json:
        """Return the loop `name` with its config."""
        return self._caller.send(Call("GET", _loop_path(name)))

    def loops(self) -> Json:
        """Return every loop of the server."""
        return self._caller.send(Call("GET", "/v1/loops"))

    def decide(
        self,
        loop: str,
        *,
        context: Mapping[str, Any],
        actions: Sequence[Mapping[str, Any]],
        decision_id: str | None = None,
        top_n: int = 1,
        exclude: Sequence[str] = (),
        deferred: bool = False,
    ) -> Json:
        """Choose or rank `actions` (`{"id": …, "features": …}` each) for `context`.

        Without `decision_id` a new one is made here, and the answer says which. A `deferred` decision is learned only
        if `activate` says in time that it was shown.
        """
        body = {
            "decision_id": decision_id or uuid4().hex,
            "context": context,
            "actions": list(actions),
            "top_n": top_n,
            "exclude": list(exclude),
            "deferred": deferred,
        }
        return self._caller.send(Call("POST", f"{_loop_path(loop)}/decisions", body=body))

    def activate(self, loop: str, decision_id: str) -> None:
        """Say that a deferred decision was shown."""
        self._caller.send(Call("POST", f"{_decision_path(loop, decision_id)}/activate"))

    def reward(
        self,
        loop: str,
        *,
        decision_id: str,
        value: float,
        reward_id: str | None = None,
        slot: int | None = None,
        component: str | None = None,
        occurred_at: datetime | None = None,
    ) -> Json:
        """Report `value` for a decision, or for one slot (0-based) of its ranking.

        Without `reward_id` each call is a new reward. `occurred_at` must know its time zone.
        """
        body = {
            "decision_id": decision_id,
            "value": value,
            "reward_id": reward_id or uuid4().hex,
            "slot": slot,
            "component": component,
            "occurred_at": _rfc3339(occurred_at) if occurred_at else None,
        }
        present = {key: value for key, value in body.items() if value is not None}
        return self._caller.send(Call("POST", f"{_loop_path(loop)}/rewards", body=present))

    def decision(self, loop: str, decision_id: str, *, verify: bool = False) -> Json:
        """Return a stored decision, why it was made, and what became of it.

        `verify` asks the server to recompute its distribution and to say whether it matches.
        """
        params = {"verify": "true"} if verify else {}
        return self._caller.send(Call("GET", _decision_path(loop, decision_id), params=params))

    def status(self, loop: str) -> Json:
        """Return counts, positions and exploration of a loop: whether it learns."""
        return self._caller.send(Call("GET", f"{_loop_path(loop)}/status"))

    def wait_learned(self, loop: str, *, timeout_s: float = 30.0) -> Json:
        """Wait until every outcome in the log at the time of the call is learned, by the config's own line.

        Returns the status.

        Raises `NotLearned` when `timeout_s` pass first, or when the learner says that it cannot go on.
        """
        deadline = self._clock() + timeout_s
        status = self.status(loop)
        goal = status["log_position"]
        while status["learned_through"] < goal or _is_of_another_line(status):
            left_s = deadline - self._clock()
            # A loop that cannot learn answers long polls at once: without this look we would poll it hot.
            if left_s <= 0 or status.get("learning_error"):
                raise NotLearned(_behind(loop, status, goal=goal, timeout_s=timeout_s))
            status = self._poll(loop, goal=goal, poll_s=min(left_s, _LONGEST_POLL_S))
        return status

    def _poll(self, loop: str, *, goal: int, poll_s: float) -> Json:
        params = {"learned_through": str(goal), "timeout_s": f"{poll_s:.3f}"}
        path = f"{_loop_path(loop)}/status"
        return self._caller.send(Call("GET", path, params=params, patience_s=poll_s))


def _loop_path(name: str) -> str:
    return f"/v1/loops/{quote(name, safe='')}"


def _decision_path(loop: str, decision_id: str) -> str:
    return f"{_loop_path(loop)}/decisions/{quote(decision_id, safe='')}"


def _rfc3339(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(
            f"occurred_at is {at.isoformat()} without a time zone; the server compares times in "
            "UTC. Give it one: datetime.now(UTC)"
        )
    return at.astimezone(UTC).isoformat()


def _is_of_another_line(status: Json) -> bool:
    anew = status.get("relearning")
    return anew is not None and not status["model_version"].startswith(f"{anew['line']}@")


def _behind(loop: str, status: Json, *, goal: int, timeout_s: float) -> str:
    who, position = f"loop {loop!r}", status["learned_through"]
    if anew := status.get("relearning"):
        who, position = f"{who}, which learns anew as {anew['line']},", anew["position"]
    through = f"{who} has learned through {position}, not yet {goal}"
    if status.get("learning_error"):
        return f"{through}, and stopped: {status['learning_error']}"
    return f"{through}, after {timeout_s:g} s. Wait longer, or look at GET {_loop_path(loop)}/status"
