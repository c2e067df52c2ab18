"""The routes as a table, and the OpenAPI description that is made from it.

The routes are raw: what pydantic costs per request is more than a decision does. The table keeps their schemas, from
the same types that decode and encode them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bandit.api import routes
from bandit.api.problems import Problem
from bandit.decide import DecisionRequest
from bandit.service import status_views, views
from bandit.settings import LoopConfig

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Schema: TypeAlias = dict[str, Any]


class LoopList(msgspec.Struct, frozen=True):
    """All loops, by name."""

    loops: list[views.LoopView]


class Health(msgspec.Struct, frozen=True):
    """The server's word on itself."""

    status: str


class Operation(msgspec.Struct, frozen=True):
    """One route: what it takes, and what it answers by status (a tuple: any of it); `problems` are its errors."""

    method: str
    path: str
    endpoint: Endpoint
    answers: dict[int, type | tuple[type, ...]]
    takes: type | None = None
    query: dict[str, Schema] = {}
    headers: dict[str, Schema] = {}
    problems: tuple[int, ...] = ()


_LOOP = "/v1/loops/{loop}"
_POSITION = {"type": "integer", "minimum": 0, "maximum": 2**53}
_SECONDS = {"type": "number", "minimum": 0, "maximum": routes.MAX_WAIT_S}

OPERATIONS = (
    Operation(
        "POST",
        f"{_LOOP}/decisions",
        routes.post_decision,
        {201: views.DecisionAnswer, 200: views.DecisionAnswer},
        takes=DecisionRequest,
        problems=(400, 404, 409, 410, 413, 422, 503),
    ),
    Operation(
        "POST",
        f"{_LOOP}/rewards",
        routes.post_reward,
        {202: views.RewardAnswer},
        takes=views.RewardRequest,
        problems=(400, 404, 410, 413, 422, 503),
    ),
    Operation(
        "GET",
        f"{_LOOP}/decisions/{{decision_id}}",
        routes.get_decision,
        {200: views.DecisionView},
        query={"verify": {"type": "boolean"}},
        problems=(404, 410, 422),
    ),
    Operation(
        "POST",
        f"{_LOOP}/decisions/{{decision_id}}/activate",
        routes.post_activation,
        {204: type(None)},
        problems=(404, 409, 410, 503),
    ),
    Operation(
        "GET",
        f"{_LOOP}/status",
        routes.get_status,
        {200: status_views.StatusView},
        query={"learned_through": _POSITION, "timeout_s": _SECONDS},
        problems=(404, 422),
    ),
    Operation(
        "PUT",
        _LOOP,
        routes.put_loop,
        {201: LoopConfig, 200: (LoopConfig, views.ChangesView)},
        takes=LoopConfig,
        query={"dry_run": {"type": "boolean"}},
        headers={"If-Match": {"type": "string", "pattern": '^("[0-9]+"|\\*)$'}},
        problems=(400, 409, 413, 422, 503),
    ),
    Operation("GET", _LOOP, routes.get_loop, {200: LoopConfig}, problems=(404,)),
    Operation("GET", "/v1/loops", routes.get_loops, {200: LoopList}),
    Operation("GET", "/healthz", routes.healthz, {200: Health}),
    Operation("GET", "/readyz", routes.readyz, {200: Health}, problems=(503,)),
)


def describe(title: str, version: str) -> Schema:
    """Return the OpenAPI 3.1 description of all routes."""
    answered = {kind for o in OPERATIONS for kinds in o.answers.values() for kind in _each(kinds)}
    types = answered | {o.takes for o in OPERATIONS if o.takes} | {Problem}
    types.discard(type(None))
    ordered = sorted(types, key=lambda t: t.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    refs = dict(zip(ordered, schemas, strict=True))
    paths: Schema = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(operation: Operation, refs: dict[type, Schema]) -> Schema:
    description: Schema = {
        "operationId": operation.endpoint.__name__,
        "summary": (operation.endpoint.__doc__ or "").strip(),
        "parameters": _parameters(operation),
        "responses": {
            **{
                str(status): _answer([refs[k] for k in _each(kinds) if k in refs])
                for status, kinds in operation.answers.items()
            },
            **{str(status): _content("application/problem+json", refs[Problem]) for status in operation.problems},
        },
    }
    if operation.takes:
        body = {"application/json": {"schema": refs[operation.takes]}}
        description["requestBody"] = {"required": True, "content": body}
    return description


def _each(kinds: type | tuple[type, ...]) -> tuple[type, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _answer(schemas: list[Schema]) -> Schema:
    return _content("application/json", *schemas) if schemas else {"description": "no content"}


def _content(media: str, *schemas: Schema) -> Schema:
    names = " or ".join(schema["$ref"].rsplit("/", 1)[1] for schema in schemas)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    return {"description": names, "content": {media: {"schema": schema}}}


def _parameters(operation: Operation) -> list[Schema]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    text = {"type": "string", "minLength": 1}
    return [
        *({"name": name, "in": "path", "required": True, "schema": text} for name in names),
        *({"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()),
        *({"name": name, "in": "header", "schema": schema} for name, schema in operation.headers.items()),
    ]
