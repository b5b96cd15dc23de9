"""The engine server as one ASGI application: layers, routes, and what starts and stops with them.

Addressing -> Drain -> Gate -> routes        every route is a thin adapter over the hub
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamscope.engine import errors
from dreamscope.engine.server.bodies import Bodies, Drain
from dreamscope.engine.server.clock import Clock, LoopClock
from dreamscope.engine.server.gate import Gate
from dreamscope.engine.server.http import Addressing, domain_error, http_error, internal_error
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.routes import chat, models, native, openapi, status, traces
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.server.ws import WebSocketDoor


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
    bodies = Bodies(options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        hub.open()
        yield
        await door.close()

    app = Starlette(
        routes=[
            WebSocketRoute("/v1/ws", door.__call__),
            *native.routes(hub, bodies),
            *chat.routes(hub, bodies),
            *models.routes(hub, bodies),
            *status.routes(hub),
            *traces.routes(hub),
            *openapi.routes(),
        ],
        exception_handlers={
            HTTPException: http_error,
            errors.DreamscopeError: domain_error,
            Exception: internal_error,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    layers = Addressing(Drain(Gate(app, hub)), hub.knows, hub.tally.answered)
    return EngineApp(layers, door)
