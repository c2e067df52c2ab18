"""The application: routes, errors and the life of the service behind them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Route

from bandit.api import problems
from bandit.api.hot import HotRoutes
from bandit.api.openapi import OPERATIONS, describe
from bandit.service.service import Service


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

    app = FastAPI(title="Honeyguide", version=version("honeyguide"), lifespan=lifespan, redirect_slashes=False)
    # An id may hold a slash, which is decoded before routes are matched: `:path` takes it.
    # Routes are tried in order: ours before FastAPI's own for /docs and /openapi.json, and the hot ones first.
    app.router.routes[:0] = [
        Route(operation.path.replace("_id}", "_id:path}"), operation.endpoint, methods=[operation.method])
        for operation in OPERATIONS
    ]
    app.add_middleware(HotRoutes)
    problems.install(app)
    description = describe(app.title, app.version)
    app.openapi = lambda: description  # type: ignore[method-assign]  # FastAPI's documented way to replace it
    return app
