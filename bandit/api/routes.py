"""The routes of `/v1`: each reads its input, calls the service once, and answers."""

import re

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bandit.api.body import answer, decode, read_body
from bandit.decide import DecisionRequest
from bandit.service import views
from bandit.service.service import Service
from bandit.settings import read_config
from store.errors import InvalidInput

_decisions = msgspec.json.Decoder(DecisionRequest)
_rewards = msgspec.json.Decoder(views.RewardRequest)
_any = msgspec.json.Decoder()

MAX_WAIT_S = 30.0


async def decide(service: Service, loop: str, body: bytes) -> tuple[int, views.DecisionAnswer]:
    """Decide, from the body of a request to its status and answer."""
    recorded = await service.decide(loop, decode(_decisions, body), body)
    return 200 if recorded.repeated else 201, views.decision_answer(recorded.decision)


async def reward(service: Service, loop: str, body: bytes) -> tuple[int, views.RewardAnswer]:
    """Take a reward, from the body of a request to its status and answer."""
    return 202, await service.reward(loop, decode(_rewards, body))


async def post_decision(request: Request) -> Response:
    """Decide."""
    return answer(*await decide(_service(request), request.path_params["loop"], await read_body(request)))


async def post_reward(request: Request) -> Response:
    """Take a reward."""
    return answer(*await reward(_service(request), request.path_params["loop"], await read_body(request)))


async def get_decision(request: Request) -> Response:
    """Explain a decision; with `verify` it is made again from what was logged, and compared."""
    _allow(request, ("verify",))
    loop, decision_id = request.path_params["loop"], request.path_params["decision_id"]
    return answer(200, await _service(request).decision(loop, decision_id, verify=_flag(request, "verify")))


async def post_activation(request: Request) -> Response:
    """Say that a deferred decision was shown."""
    await _service(request).activate(request.path_params["loop"], request.path_params["decision_id"])
    return Response(status_code=204)


async def get_status(request: Request) -> Response:
    """Say whether a loop is learning, waiting for a position if asked to."""
    _allow(request, ("learned_through", "timeout_s"))
    position = _number(request, "learned_through", 0, 2**53)
    timeout_s = _number(request, "timeout_s", 0, MAX_WAIT_S)
    return answer(200, await _service(request).status(request.path_params["loop"], int(position), timeout_s))


async def put_loop(request: Request) -> Response:
    """Create or replace a loop; answers with the whole config, or with what would change if it is a dry run."""
    _allow(request, ("dry_run",))
    name, dry_run = request.path_params["loop"], _flag(request, "dry_run")
    body = await read_body(request)
    decode(_any, body)  # what is not JSON at all is the caller's 400, before any rule is looked at
    config = read_config(body)
    if dry_run:
        return answer(200, _service(request).changes(name, config, _if_match(request)))
    view, new = await _service(request).put_loop(name, config, _if_match(request))
    return answer(201 if new else 200, view.config, {"ETag": _etag(view)})


async def get_loop(request: Request) -> Response:
    """Show a loop's whole config, ready to be changed and PUT."""
    _allow(request, ())
    view = _service(request).loop(request.path_params["loop"])
    return answer(200, view.config, {"ETag": _etag(view)})


async def get_loops(request: Request) -> Response:
    """List the loops."""
    _allow(request, ())
    return answer(200, {"loops": _service(request).loops()})


async def healthz(request: Request) -> Response:  # noqa: ARG001  # the process answers, whatever was asked
    """Say that the process runs."""
    return answer(200, {"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say that the log is open, replayed and writable."""
    await _service(request).check_writable()
    return answer(200, {"status": "ready"})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _etag(view: views.LoopView) -> str:
    return f'"{view.revision}"'


def _if_match(request: Request) -> int | None:
    value = request.headers.get("if-match")
    if value is None or value == "*":
        return None
    if not re.fullmatch(r'"\d+"', value):
        raise InvalidInput(f'If-Match is {value}; send the ETag of a GET as it is, such as "3", or leave it out')
    return int(value.strip('"'))


def _allow(request: Request, known: tuple[str, ...]) -> None:
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise InvalidInput(f"unknown query parameter {unknown[0]!r}; this route takes: {', '.join(known) or 'none'}")


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in {"true", "false"}:
        raise InvalidInput(f"{name} is {text!r}; it must be true or false")
    return text == "true"


def _number(request: Request, name: str, low: float, high: float) -> float:
    text = request.query_params.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidInput(f"{name} is {text!r}; it must be a number from {low} to {high:g}")
    return value
