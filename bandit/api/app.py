"""The application: routes, errors and the life of the service behind them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bandit.api import hot, problems
from bandit.api.openapi import OPERATIONS, describe
from bandit.service.service import Service


class App(FastAPI):
    """The application, whose hot routes are answered before the framework's layers are entered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan" or not await hot.answered(self.state.service, scope, receive, send):
            await super().__call__(scope, receive, send)


def create_app(make_service: Callable[[], Service]) -> FastAPI:
    """Return the application; `make_service` is called inside its event loop, when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = make_service()
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = App(title="Honeyguide", version=version("honeyguide"), lifespan=lifespan, redirect_slashes=False)
    # An id may hold a slash, which is decoded before routes are matched: `:path` takes it.
    # Routes are tried in order: ours before FastAPI's own for /docs and /openapi.json.
    app.router.routes[:0] = [
        Route(operation.path.replace("_id}", "_id:path}"), operation.endpoint, methods=[operation.method])
        for operation in OPERATIONS
    ]
    problems.install(app)
    description = describe(app.title, app.version)
    app.openapi = lambda: description  # type: ignore[method-assign]  # FastAPI's documented way to replace it
    return app
