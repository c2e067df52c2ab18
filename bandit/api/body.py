"""Request bodies: read up to a limit, decoded by msgspec, refused in words."""

from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bandit.api.problems import Malformed, TooLarge
from store.errors import InvalidInput

T = TypeVar("T")

MAX_BODY = 8 * 1024 * 1024

encode = msgspec.json.Encoder().encode


async def read_body(request: Request) -> bytes:
    """Return the body. Raises `TooLarge` beyond 8 MiB, without reading on."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise TooLarge(too_large(int(declared)))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(too_large(len(body)))
    return bytes(body)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body.

    Raises:
        Malformed: when it is not JSON, or holds NaN, Infinity or a number too large for float64.
        InvalidInput: when it breaks a rule of the route; the message names the place.

    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        raise InvalidInput(str(error) if isinstance(cause, InvalidInput) else f"{error}: see /openapi.json") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not valid JSON ({error}): numbers are finite, strings UTF-8") from None


def answer(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    """Return content as JSON."""
    return Response(encode(content), status, headers, media_type="application/json")


def too_large(size: int) -> str:
    """Say that a body of that size is too large, and what to do."""
    return f"the body has {size} bytes or more; at most {MAX_BODY} are read: send fewer actions or features"
