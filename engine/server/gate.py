"""Who may ask over HTTP: the pages of which origins, and the holders of which keys."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.engine import errors
from dreamscope.engine.server.auth import origin_allowed, owner_of, presented_key
from dreamscope.engine.server.http import error_response
from dreamscope.engine.server.options import ServerOptions

NEEDS_KEY = ("/v1/", "/metrics")
_CORS = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "Content-Type, Authorization, X-Moondream-Auth, X-Request-Id",
    "access-control-max-age": "600",
}


class Gate:
    """ASGI middleware that refuses pages of foreign origins and wrong keys, and answers preflights.

    Without it any web page could ask a model on this machine: a body is taken as JSON whatever its type, so a
    browser would send one without a preflight. Leaves the name of the key's owner in `scope["owner"]`.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; websockets have a door of their own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal = self._foreign(origin, headers.get("host"))
        if refusal is not None:
            await error_response(refusal, scope["request_id"])(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_CORS | _allowed(origin))(scope, receive, send)
            return
        owner = owner_of(presented_key(headers), self._options.api_keys)
        app = self._app
        if owner is None and scope["path"].startswith(NEEDS_KEY):
            app = error_response(
                errors.InvalidApiKey("The API key is missing or wrong."), scope["request_id"]
            )
        await app({**scope, "owner": owner}, receive, _with_headers(send, _allowed(origin)))

    def _foreign(self, origin: str | None, host: str | None) -> errors.DreamscopeError | None:
        if origin_allowed(origin, host, self._options.allowed_origins):
            return None
        return errors.OriginNotAllowed(
            f"Pages of {origin!r:.100} may not ask this server; "
            "start the engine with --allowed-origins to admit them."
        )


def _allowed(origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "X-Request-Id",
        "vary": "Origin",
    }


def _with_headers(send: Send, added: dict[str, str]) -> Send:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in added.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *pairs]}
        await send(message)

    return sending
