"""The engine server as one ASGI application: routes, and what starts and stops with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamscope.engine import errors, wire
from dreamscope.engine.server.clock import Clock, LoopClock
from dreamscope.engine.server.engine_metrics import engine_metrics
from dreamscope.engine.server.http import Addressing, AsciiJson, error_response, http_error, internal_error
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.prometheus import MEDIA_TYPE, render
from dreamscope.engine.server.routes import traces
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.server.ws import WebSocketDoor

NAME = "dreamscope"


@dataclass(frozen=True, slots=True)
class EngineApp:
    """The application. `door.close()` stops it politely; whoever serves it calls that before the sockets are
    torn down.
    """

    asgi: ASGIApp
    door: WebSocketDoor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self.asgi(scope, receive, send)


def build_app(shelf: Shelf, options: ServerOptions, clock: Clock | None = None) -> EngineApp:
    """The application around the models of `shelf`."""
    hub = Hub(shelf, options, clock or LoopClock())
    door = WebSocketDoor(hub)

    async def health(request: Request) -> Response:
        if shelf.status != "ok":
            return AsciiJson({"status": shelf.status, "model": shelf.default.id}, 503, {"Retry-After": "1"})
        return AsciiJson(
            {
                "status": "ok",
                "server": NAME,
                "version": version("dreamscope"),
                "model": shelf.default.id,
                "device": shelf.device,
                "loaded": [info.id for info in shelf.infos() if info.loaded],
            }
        )

    async def index(request: Request) -> Response:
        return AsciiJson({"server": NAME, "version": version("dreamscope"), "websocket": "/v1/ws"})

    async def metrics(request: Request) -> Response:
        return Response(render(engine_metrics(shelf.servings())), media_type=MEDIA_TYPE)

    async def needs_upgrade(request: Request) -> Response:
        error = errors.InvalidRequest(f"Open {request.url.path} as a websocket with {wire.SUBPROTOCOL}.")
        return error_response(error, request.scope["request_id"])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        hub.open()
        yield
        await door.close()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/v1", index),
            Route("/health", health),
            Route("/metrics", metrics),
            *traces.routes(hub),
            Route("/v1/ws", needs_upgrade),
            WebSocketRoute("/v1/ws", door.__call__),
        ],
        exception_handlers={HTTPException: http_error, Exception: internal_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return EngineApp(Addressing(app), door)
