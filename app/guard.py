"""What every answer says for safety, and what nobody but our own pages may ask for.

    guarded(app)        in front of our routes and Gradio's

1. What changes something comes from a page of ours, or from a program that is no browser.
2. It is below `/api/`, or goes through one of the `doors` to Gradio's API. Gradio's other routes that take
   something are not used by anybody and would let anybody fill the disk, so they are closed.
3. Pages of this server load nothing from anywhere else. A route may be stricter.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.app import words
from dreamscope.app.doors import Doors, is_door
from dreamscope.app.origin import own_page

OUR_CHANGES = "/api/"
_READING = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Gradio needs inline scripts and eval. Nothing is loaded into the page from elsewhere, and it connects to
this server only, its websocket included, which `'self'` covers.
"""
ELSEWHERE_POLICY = "default-src 'none'; connect-src http: https:"
"""Of `static/elsewhere.js`, a worker without a document: people open images by their address, which their
browser fetches there.
"""
_ADDED = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


def guarded(app: ASGIApp) -> ASGIApp:
    """`app` behind both of the below, and what goes to Gradio through its doors."""
    return SecurityHeaders(OwnChanges(Doors(app)))


class OwnChanges:
    """ASGI middleware that refuses what changes something, unless it comes from us and goes below `/api/` or
    through a door.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if scope["method"] in _READING:
            return None
        if not own_page(HTTPConnection(scope).headers):
            return _refused(403, words.FOREIGN_PAGE)
        path = scope["path"]
        return None if path.startswith(OUR_CHANGES) or is_door(path) else _refused(405, words.NOTHING_TAKEN)


class SecurityHeaders:
    """ASGI middleware that adds the headers which a route has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                named = {name.lower() for name, _ in given}
                message = {**message, "headers": [*given, *(row for row in _ADDED if row[0] not in named)]}
            await send(message)

        await self._app(scope, receive, with_headers)


def _refused(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": {"message": text}}, status)
