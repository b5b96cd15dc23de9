"""What every HTTP answer has in common: the address rules, the request id, ASCII JSON, the error body."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.engine import errors, wire
from dreamscope.engine.server import journal

_SLASHES = re.compile(r"/{2,}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ALLOW = ", "


class AsciiJson(Response):
    """JSON with everything beyond ASCII escaped: some clients cut UTF-8 at packet boundaries."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode; raises `ValueError` on NaN or infinity."""
        return ascii_json(content).encode("ascii")


class Addressing:
    """The outermost layer: `/v1//x/` means `/v1/x`, without a redirect; every answer has X-Request-Id.

    `taken(request_id)` tells whether an id that a client proposes belongs to another request; `count(status)`
    hears of every answer.
    """

    def __init__(self, app: ASGIApp, taken: Callable[[str], bool], count: Callable[[int], None]) -> None:
        self._app = app
        self._taken = taken
        self._count = count
        self._open: set[str] = set()  # the ids of the requests being served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = _SLASHES.sub("/", scope["path"])
        path = path[:-1] if len(path) > 1 and path.endswith("/") else path
        request_id = self._request_id(scope)
        scope = {**scope, "path": path, "raw_path": path.encode(), "request_id": request_id}
        came = time.monotonic()

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self._count(message["status"])
                method, passed = scope.get("method", "WEBSOCKET"), time.monotonic() - came
                journal.answered(request_id, method, path, message["status"], passed)
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        self._open.add(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._open.discard(request_id)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value.decode("latin-1")
                used = given in self._open or self._taken(given)
                if _REQUEST_ID.fullmatch(given) and not used:
                    return str(given)
        return uuid.uuid4().hex


def ascii_json(content: Any) -> str:
    """One line of pure ASCII. Raises `ValueError` on NaN or infinity."""
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def error_object(info: wire.ErrorInfo) -> dict[str, Any]:
    """The `error` of every failure."""
    return {"message": info.message, "type": info.type, "param": info.param, "code": info.code}


def error_response(
    error: errors.DreamscopeError, request_id: str, headers: dict[str, str] | None = None
) -> AsciiJson:
    """The one error body, with the status of the error and what a client should do about it."""
    body = {"error": error_object(error.info()), "request_id": request_id}
    return AsciiJson(body, error.status, {**_advice(error), **(headers or {})})


async def domain_error(request: Request, exc: Exception) -> Response:
    """Whatever a route raises on purpose."""
    assert isinstance(exc, errors.DreamscopeError)
    return error_response(exc, request.scope["request_id"])


async def http_error(request: Request, exc: Exception) -> Response:
    """404 and 405 of the router, in our body."""
    assert isinstance(exc, HTTPException)
    path = request.url.path
    if exc.status_code == 405:
        allowed = _ALLOW.join(sorted((exc.headers or {}).get("Allow", "").split(_ALLOW)))
        error: errors.DreamscopeError = errors.MethodNotAllowed(
            f"{request.method} is not allowed on {path}; allowed: {allowed}."
        )
        return error_response(error, request.scope["request_id"], {"Allow": allowed})
    return error_response(errors.NotFound(f"There is nothing at {path}."), request.scope["request_id"])


async def internal_error(request: Request, exc: Exception) -> Response:
    """A bug in a route; the server's log has the trace, the client does not."""
    error = errors.InternalError("The server failed on this request.")
    return error_response(error, request.scope["request_id"])


def _advice(error: errors.DreamscopeError) -> dict[str, str]:
    """Whether trying again helps, as clients read it."""
    if error.retryable:
        return {"Retry-After": str(error.retry_after)}
    return {"x-should-retry": "false"} if error.status > 500 else {}
