"""An HTTP answer that consists of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Send

from dreamscope.engine.server.bodies import ClientGone

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class EventStream:
    """Writes events as `data: PAYLOAD` and a blank line; the space is not optional for some clients.

    Every method raises `ClientGone` when the client has not read for `stall` seconds.
    """

    def __init__(self, send: Send, stall: float) -> None:
        self._send = send
        self._stall = stall

    async def open(self, headers: Mapping[str, str]) -> None:
        """Begin the answer: status 200 and these headers beside those of a stream."""
        pairs = [(name.encode(), value.encode()) for name, value in {**_HEADERS, **headers}.items()]
        await self._write({"type": "http.response.start", "status": 200, "headers": pairs})

    async def data(self, payload: str) -> None:
        """One event: a line of ASCII."""
        await self._body(f"data: {payload}\n\n")

    async def keep_alive(self) -> None:
        """A comment, which clients ignore and proxies count as life."""
        await self._body(": keep-alive\n\n")

    async def close(self) -> None:
        """End the body."""
        await self._write({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body(self, text: str) -> None:
        await self._write({"type": "http.response.body", "body": text.encode("ascii"), "more_body": True})

    async def _write(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._stall):
                await self._send(message)
        except TimeoutError:
            raise ClientGone from None
