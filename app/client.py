"""Client of the engine's event socket: connect, send messages, receive messages.

The relay and the command line both speak `md-stream.v1` through this class and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from dreamscope.engine import wire
from dreamscope.visualizers import foreign_json

HELLO_TIMEOUT_S = 10.0
_MAX_EVENT_BYTES = 16 * 2**20
_ODD = re.compile(r"\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?\d{3}")
"""What a frame has that holds half a surrogate pair, or no number; most that match have neither."""


class EngineGone(ConnectionError):
    """The engine cannot be reached, or the connection to it ended. The text is a sentence for people."""


class EngineRefused(Exception):
    """The engine answered the greeting with an error; `info` is its error."""

    def __init__(self, info: wire.ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


def socket_url(engine: str) -> str:
    """`--engine` to the socket's address. `host:port`, http(s) and ws(s) URLs are accepted.

    Raises `ValueError` for anything else.
    """
    text = engine if "://" in engine else f"ws://{engine}"
    parts = urlsplit(text)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    try:
        valid = parts.scheme in schemes and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is not a number
        valid = False
    if not valid:
        raise ValueError(f"{engine!r} is not an engine address; write it like ws://127.0.0.1:2020.")
    path = parts.path if parts.path.endswith("/v1/ws") else parts.path.rstrip("/") + "/v1/ws"
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, "", ""))


def data_url(image: bytes) -> str:
    """Encoded image bytes as the wire carries them; the engine sniffs the format."""
    return "data:application/octet-stream;base64," + base64.b64encode(image).decode("ascii")


class EngineClient:
    """One greeted connection. Make it with `EngineClient.open`; not for use from several tasks at once,
    except that one task may read `messages` while another calls `send`."""

    def __init__(self, socket: ClientConnection, ready: wire.Ready) -> None:
        self._socket = socket
        self.ready = ready

    @classmethod
    async def open(cls, url: str, client: str, key: str | None = None) -> EngineClient:
        """Connect to `url` (from `socket_url`) and greet, with `key` for an engine that asks for one.

        Raises `EngineGone` or `EngineRefused`.
        """
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                socket = await connect(
                    url,
                    subprotocols=[websockets.Subprotocol(wire.SUBPROTOCOL)],
                    compression=None,
                    max_size=_MAX_EVENT_BYTES,
                    proxy=None,
                )
                try:
                    return cls(socket, await _greet(socket, client, key))
                except BaseException:
                    await socket.close()
                    raise
        except (OSError, websockets.WebSocketException, TimeoutError) as error:
            raise EngineGone(f"No engine answers at {url}.") from error

    async def send(self, message: wire.Message) -> None:
        """Send one message. Raises `EngineGone`."""
        try:
            await self._socket.send(wire.encode(message))
        except websockets.ConnectionClosed as error:
            raise EngineGone("The engine closed the connection.") from error

    async def messages(self) -> AsyncIterator[wire.Message]:
        """Everything the engine sends, until the connection ends; then raises `EngineGone`.

        Types that this version does not know are skipped, because the protocol only ever adds.
        """
        try:
            async for frame in self._socket:
                message = _decode(frame)
                if message is not None:
                    yield message
        except websockets.ConnectionClosedError as error:
            raise EngineGone("The engine closed the connection.") from error
        raise EngineGone("The engine closed the connection.")

    async def close(self) -> None:
        """Close politely; safe to call twice."""
        await self._socket.close()


async def _greet(socket: ClientConnection, client: str, key: str | None) -> wire.Ready:
    await socket.send(wire.encode(wire.Hello(client=client, auth=key)))
    answer = _decode(await socket.recv())
    if isinstance(answer, wire.Ready):
        return answer
    if isinstance(answer, wire.ErrorEvent):
        raise EngineRefused(answer.error)
    kind = answer.wire_type if answer else "unknown"
    raise EngineGone(f"The engine answered the greeting with a message of type {kind!r}.")


def _decode(frame: str | bytes) -> wire.Message | None:
    """The message, `None` for one of a type that this version does not know. Raises `EngineGone`."""
    try:
        return wire.decode(_writable(frame) if isinstance(frame, str) and _ODD.search(frame) else frame)
    except ValueError as error:
        if isinstance(error, wire.WireError) and error.code == "unknown_type":
            return None
        raise EngineGone(f"The engine sent a message that cannot be read: {error}") from error


def _writable(frame: str) -> str:
    """`frame` with halves of surrogate pairs replaced, so that it can be kept, shown and sent on.

    Raises `ValueError` for what no other program could read either.
    """
    try:
        text = json.dumps(json.loads(frame), ensure_ascii=False).encode("utf-8", "replace").decode()
    except RecursionError:
        raise ValueError("it is too deep") from None
    foreign_json.parse(text)
    return text
