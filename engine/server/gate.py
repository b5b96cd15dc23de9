"""Who may ask over HTTP: the pages of which origins, and the holders of which keys."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.engine import errors
from dreamscope.engine.server.auth import host_known, origin_allowed, presented_key
from dreamscope.engine.server.http import error_response
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.keyring import MISSING

NEEDS_KEY = ("/v1/", "/metrics")
_CORS = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "Content-Type, Authorization, X-Moondream-Auth, X-Request-Id",
    "access-control-max-age": "600",
}


class Gate:
    """ASGI middleware that refuses pages of foreign origins, strange host names, wrong keys, and while the
    server stops what asks for something; and answers preflights.

    Without it any web page could ask a model on this machine: a body is taken as JSON whatever its type, so a
    browser would send one without a preflight. Leaves the name of the key's owner in `scope["owner"]`.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; websockets have a door of their own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal = refused_page(self._hub, headers)
        if refusal is not None:
            await error_response(refusal, scope["request_id"])(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_CORS | _allowed(origin))(scope, receive, send)
            return
        app, owner = self._app, None
        try:
            owner = self._hub.keyring.owner(presented_key(headers))
            self._check(scope, owner)
        except errors.DreamscopeError as error:
            app = error_response(error, scope["request_id"])
        await app({**scope, "owner": owner}, receive, _with_headers(send, _allowed(origin)))

    def _check(self, scope: Scope, owner: str | None) -> None:
        """Raises `InvalidApiKey`, or `ShuttingDown` for what would begin something new."""
        if owner is None and scope["path"].startswith(NEEDS_KEY):
            raise errors.InvalidApiKey(MISSING)
        if self._hub.stopping and scope["method"] == "POST":
            raise errors.ShuttingDown("The server is stopping.")


def refused_page(hub: Hub, headers: Headers) -> errors.DreamscopeError | None:
    """Why a page may not ask this server, websockets included; `None` if it may, or is no page."""
    origin, host, options = headers.get("origin"), headers.get("host"), hub.options
    if not hub.keyring.locked and not host_known(host, options.allowed_hosts):
        return errors.HostNotAllowed(
            f"This server needs no key, so it is not to be reached as {host!r:.100}, which may be anybody's "
            "name for it; start the engine with --allowed-hosts to admit that name, or make a key."
        )
    if not origin_allowed(origin, host, options.allowed_origins):
        return errors.OriginNotAllowed(
            f"Pages of {origin!r:.100} may not ask this server; "
            "start the engine with --allowed-origins to admit them."
        )
    return None


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
