"""The door of `GET /v1/ws`: who may upgrade, and a Starlette websocket as a `Socket`."""

from __future__ import annotations

import asyncio
import uuid

from starlette.websockets import WebSocket, WebSocketDisconnect

from dreamscope.engine import errors, wire
from dreamscope.engine.server.auth import presented_key
from dreamscope.engine.server.connection import STOPPING, Connection
from dreamscope.engine.server.gate import refused_page
from dreamscope.engine.server.http import error_response
from dreamscope.engine.server.hub import Hub

TOO_MANY_CONNECTIONS = 4429


class StarletteSocket:
    """Plain messages in and out of a Starlette websocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        """The next message; `None` when the peer is gone."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def send(self, text: str) -> None:
        """Send a text frame. Raises `ConnectionError` when the peer is gone."""
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionError(str(error)) from None

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. Raises `ConnectionError` when the peer is gone."""
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionError(str(error)) from None


class WebSocketDoor:
    """Endpoint of the route; knows every open connection so that the server can stop."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[Connection, asyncio.Task[None]] = {}

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one client until it leaves."""
        refusal = self._refusal(websocket)
        if refusal is not None:
            await websocket.send_denial_response(error_response(refusal, websocket.scope["request_id"]))
            return
        await websocket.accept(wire.SUBPROTOCOL)
        if len(self._open) >= self._hub.options.max_connections:
            await websocket.close(TOO_MANY_CONNECTIONS, "Too many connections.")
            return
        connection = Connection(
            self._hub, StarletteSocket(websocket), uuid.uuid4().hex[:12], presented_key(websocket.headers)
        )
        task = asyncio.create_task(connection.run())
        self._open[connection] = task
        try:
            await task
        finally:
            del self._open[connection]

    async def close(self) -> None:
        """Stop: end the requests, tell every client, and wait for the farewells as long as is allowed."""
        await self._hub.close()
        for connection in self._open:
            connection.close(STOPPING, "The server stops.")
        if self._open:
            await asyncio.wait(self._open.values(), timeout=self._hub.options.drain_seconds)

    def hurry(self) -> None:
        """While it closes: wait for no request any more."""
        self._hub.hurry()

    def _refusal(self, websocket: WebSocket) -> errors.DreamscopeError | None:
        foreign = refused_page(self._hub, websocket.headers)
        if foreign is not None:
            return foreign
        if wire.SUBPROTOCOL not in websocket.scope["subprotocols"]:
            return errors.InvalidParameter(
                f"Offer the websocket subprotocol {wire.SUBPROTOCOL}.", "Sec-WebSocket-Protocol"
            )
        if self._hub.stopping:
            return errors.ShuttingDown("The server is stopping.")
        return None
