"""Request bodies: bounded in size, number and memory, and never left unread.

A server that answers and closes before it has read the whole body resets the connection, and the client never
sees the answer. So whatever a route does not read is read and thrown away before the answer leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.engine import errors
from dreamscope.engine.server.options import MIB, ServerOptions

DRAIN_BYTES = 256 * MIB
DRAIN_SECONDS = 30.0


class ClientGone(Exception):
    """The client has hung up, or has stopped reading; nobody waits for an answer."""


class Drain:
    """ASGI middleware that reads the rest of a body before an answer begins; beyond its bounds the connection
    is closed after the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen, ended = 0, False

        async def counted() -> Message:
            nonlocal seen, ended
            message = await receive()
            seen += len(message.get("body", b""))
            ended = ended or not message.get("more_body", False)
            return message

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                try:
                    async with asyncio.timeout(DRAIN_SECONDS):
                        while not ended and seen < DRAIN_BYTES:
                            await counted()
                except TimeoutError:
                    pass
                if not ended:
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, counted, send_after_body)


class Bodies:
    """The requests with a body that are being served, and what they hold in memory."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def admit(self) -> Iterator[Body]:
        """Room for one request, until it is answered. Raises `QueueFull`."""
        if self._requests >= self._options.max_http_requests:
            raise errors.QueueFull(f"{self._requests} requests are being served already; try again soon.")
        body = Body(self._options.max_body_bytes, self._options.deadline, self._grow)
        self._requests += 1
        try:
            yield body
        finally:
            self._requests -= 1
            self._bytes -= body.size

    def _grow(self, size: int) -> None:
        if self._bytes + size > self._options.http_body_bytes:
            raise errors.QueueFull("The requests being served fill the memory for them; try again soon.")
        self._bytes += size


class Body:
    """What is held of one body; `size` and `limit` in bytes, `deadline` in seconds. `grow` raises when all
    bodies together become too large.
    """

    def __init__(self, limit: int, deadline: float, grow: Callable[[int], None]) -> None:
        self._limit = limit
        self._deadline = deadline
        self._grow = grow
        self.size = 0

    async def read_object(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The JSON object of the body, whatever its Content-Type says.

        Raises `PayloadTooLarge`, `QueueFull`, `RequestTimeout`, `InvalidJson` or `ClientGone`.
        """
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._deadline):
                data = await self._read(receive)
        except TimeoutError:
            raise errors.RequestTimeout("The body did not arrive in time.") from None
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.InvalidJson(f"The body is not JSON: {error}.") from None
        if not isinstance(parsed, dict):
            raise errors.InvalidJson("The body must be a JSON object.")
        return parsed

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            if self.size + len(chunk) > self._limit:
                raise self._too_large()
            self._grow(len(chunk))
            self.size += len(chunk)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> errors.DreamscopeError:
        return errors.PayloadTooLarge(f"The body may have at most {self._limit:,} bytes.")
