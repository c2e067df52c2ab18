"""One HTTP call with its retries and its errors, below the routes of `bandit.client`.

It knows bytes, status codes and problem documents (RFC 9457), and no route. Every request that
passes here may be sent twice: the ids in it make the second sending harmless.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from store.errors import HoneyguideError

Json = dict[str, Any]

# What may be sent again: the request never arrived, or its answer never did.
_TRANSIENT = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.TimeoutException)


class ClientError(HoneyguideError):
    """The root of what a `Client` raises: `ApiError`, `Unreachable`, `NotLearned`."""


class ApiError(ClientError):
    """The server refused a request; `str()` is its own explanation (`detail` of the problem)."""

    def __init__(self, status: int, *, title: str, detail: str, problem: Json) -> None:
        super().__init__(f"{detail} (HTTP {status} {title})")
        self.status = status
        self.title = title
        self.detail = detail
        self.problem = problem


class Unreachable(ClientError):
    """No answer came, after every retry."""


class NotLearned(ClientError):
    """The learner did not reach the position that was waited for in time."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long to wait between attempts: 0.1, 0.2, 0.4 … s, or the server's word.

    `Retry-After` (RFC 9110, section 10.2.3: seconds or an HTTP date) is honoured up to
    `longest_wait_s`, so a server cannot put its callers to sleep for good.
    """

    attempts: int = 6
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0

    def wait_s(self, attempt: int, retry_after: str | None) -> float:
        """Seconds to wait after the failure of `attempt` (1, 2 …)."""
        asked = _seconds(retry_after) if retry_after else None
        wait = self.first_wait_s * 2.0 ** (attempt - 1) if asked is None else asked
        return min(max(wait, 0.0), self.longest_wait_s)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the contract; `patience_s` is how long the server may rightly stay silent."""

    method: str
    path: str
    body: Json | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = 0.0


class Caller:
    """A keep-alive pool that sends a `Call` until it is answered, refused or given up."""

    def __init__(
        self,
        http: httpx2.Client,
        *,
        timeout_s: float,
        retries: Retries,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.http = http
        self._timeout_s = timeout_s
        self._retries = retries
        self._sleep = sleep

    def send(self, call: Call) -> Json:
        """Return the JSON of the answer, empty where it has no content; raise `ApiError` or `Unreachable`."""
        attempt = 1
        while True:
            outcome = self._attempt(call)
            if not _may_retry(outcome) or attempt >= self._retries.attempts:
                return _answer(outcome, attempts=attempt)
            self._sleep(self._retries.wait_s(attempt, _retry_after(outcome)))
            attempt += 1

    def _attempt(self, call: Call) -> httpx2.Response | httpx2.TransportError:
        try:
            return self.http.request(
                call.method,
                call.path,
                json=call.body,
                params=call.params,
                timeout=self._timeout_s + call.patience_s,
            )
        except httpx2.TransportError as error:
            return error


def _may_retry(outcome: httpx2.Response | httpx2.TransportError) -> bool:
    if isinstance(outcome, httpx2.Response):
        return outcome.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    return isinstance(outcome, _TRANSIENT)


def _retry_after(outcome: httpx2.Response | httpx2.TransportError) -> str | None:
    return outcome.headers.get("Retry-After") if isinstance(outcome, httpx2.Response) else None


def _seconds(retry_after: str) -> float | None:
    with suppress(ValueError):
        return float(retry_after)
    with suppress(ValueError):
        return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    return None


def _answer(outcome: httpx2.Response | httpx2.TransportError, *, attempts: int) -> Json:
    if isinstance(outcome, httpx2.TransportError):
        raise _unreachable(outcome, attempts=attempts) from outcome
    body: Json | None = {} if outcome.status_code == httpx2.codes.NO_CONTENT else _json_object(outcome)
    if outcome.is_success and body is not None:
        return body
    raise _refusal(outcome, body or {})


def _json_object(response: httpx2.Response) -> Json | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _refusal(response: httpx2.Response, problem: Json) -> ApiError:
    foreign = (
        f"{response.request.method} {response.request.url} was not answered as a Honeyguide server "
        f"answers, but with {response.text[:200]!r}. Check the base URL"
    )
    return ApiError(
        response.status_code,
        title=str(problem.get("title", response.reason_phrase)),
        detail=str(problem.get("detail", foreign)),
        problem=problem,
    )


def _unreachable(error: httpx2.TransportError, *, attempts: int) -> Unreachable:
    return Unreachable(
        f"{error.request.method} {error.request.url} got no answer after {attempts} attempt(s): "
        f"{str(error) or type(error).__name__}. Is the server running there (GET /readyz)?"
    )
