"""Errors as `application/problem+json` (RFC 9457): one table from error to status."""

import http

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from store.errors import Conflict, Gone, HoneyguideError, InvalidInput, NotFound, NotStored


class Malformed(HoneyguideError):
    """The body is not JSON, or not the JSON that the route takes."""


class TooLarge(HoneyguideError):
    """The body is larger than the server takes."""


STATUS: dict[type[HoneyguideError], int] = {
    Malformed: 400,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    TooLarge: 413,
    InvalidInput: 422,
    NotStored: 503,
}


_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""The phrases of RFC 9110 where Python's changed between the versions that we run on."""


class Problem(msgspec.Struct, frozen=True):
    """An error, with what to do about it in `detail`."""

    type: str
    title: str
    status: int
    detail: str


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as a response; a 503 says when to try again."""
    title = _TITLES.get(status) or http.HTTPStatus(status).phrase
    body = Problem(f"urn:honeyguide:problem:{title.lower().replace(' ', '-')}", title, status, detail)
    extra = {"Retry-After": "1"} if status == http.HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(
        msgspec.json.encode(body), status, {**(headers or {}), **extra}, media_type="application/problem+json"
    )


def answer_to(error: Exception) -> Response:
    """Return one of our errors as a response; another one is ours to mend."""
    if isinstance(error, HoneyguideError):
        return problem(STATUS.get(type(error), 500), str(error))
    return problem(500, "an error of the server's own; its log has the details. Sending the request again is safe")


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette's signature
    return answer_to(error)


async def _http_error(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    detail = {
        404: f"there is nothing at {request.url.path}: /openapi.json lists every route",
        405: f"{request.method} is not allowed at {request.url.path}: /openapi.json lists what is",
    }.get(status, str(getattr(error, "detail", error)))
    return problem(status, detail, getattr(error, "headers", None))


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    app.add_exception_handler(HoneyguideError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _refused)
