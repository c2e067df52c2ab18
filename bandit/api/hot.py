"""The two hot routes, taken before the framework's own layers: they cost as much as deciding does.

Same contract, errors and description as the routes behind them, which answer whatever is not plainly theirs.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.types import Message, Receive, Scope, Send

from bandit.api import problems
from bandit.api.body import MAX_BODY, encode, too_large
from bandit.api.problems import TooLarge
from bandit.api.routes import decide, reward
from bandit.service.service import Service
from store.errors import HoneyguideError

Handler: TypeAlias = Callable[[Service, str, bytes], Awaitable[tuple[int, object]]]

_log = logging.getLogger(__name__)

_PREFIX = "/v1/loops/"
_HANDLERS: dict[str, Handler] = {"decisions": decide, "rewards": reward}


async def answered(service: Service, scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer `POST /v1/loops/{loop}/decisions` or `…/rewards`; return whether the request is one of these."""
    loop, handler = _match(scope)
    if handler is None:
        return False
    try:
        body = await _read(receive)
        status, answer = await handler(service, loop, body)
    except Exception as error:  # noqa: BLE001  # whatever it is, its caller gets an answer
        if not isinstance(error, HoneyguideError):
            _log.exception("a request to %s failed", scope["path"])
        await problems.answer_to(error)(scope, receive, send)
    else:
        await _send(send, status, encode(answer))
    return True


def _match(scope: Scope) -> tuple[str, Handler | None]:
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_PREFIX):
        return "", None
    loop, _, name = scope["path"][len(_PREFIX) :].partition("/")
    return loop, _HANDLERS.get(name)


async def _read(receive: Receive) -> bytes:
    """Return the body; raises `TooLarge` as soon as it is, without reading on."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = bytearray(body)
        while message.get("more_body") and len(parts) <= MAX_BODY:
            message = await receive()
            parts += message.get("body", b"")
        body = bytes(parts)
    if len(body) > MAX_BODY:
        raise TooLarge(too_large(len(body)))
    return body


async def _send(send: Send, status: int, content: bytes) -> None:
    length = (b"content-length", str(len(content)).encode())
    start: Message = {"type": "http.response.start", "status": status, "headers": [_JSON, length]}
    await send(start)
    await send({"type": "http.response.body", "body": content})


_JSON = (b"content-type", b"application/json")
