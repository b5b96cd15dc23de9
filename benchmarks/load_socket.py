"""The websocket of the load test: a connection, and what the events of a request add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from load_asks import TEXTS, Answer, Ask
from load_http import LATER, Pace, Refused, Wrong
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from dreamscope.engine import wire

PROTOCOL = Subprotocol(wire.SUBPROTOCOL)
FRAMES_AHEAD = 2
"""Frames that a slow client has before it has looked at them."""


class Asked:
    """One request. Its events must come without a gap, and make what the last one says."""

    def __init__(self, ask: Ask, name: str) -> None:
        self.create = wire.RequestCreate(request_id=name, skill=ask.skill, **ask.fields)
        self.answer: Answer | None = None
        self.last = -1
        self._text = ""
        self._reasoning = ""
        self._objects: list[dict[str, float]] = []

    def take(self, event: wire.RequestEvent) -> bool:
        """The next event; whether it is a piece of the answer. Raises `Refused` or `Wrong`."""
        first = event.seq if event.first_seq is None else event.first_seq
        if first != self.last + 1:
            raise Wrong(f"event {first} after {self.last}: {event}")
        self.last = event.seq
        match event:
            case wire.TextDelta(delta=delta) | wire.MaskDelta(delta=delta):
                self._text += delta
            case wire.ReasoningDelta(delta=delta):
                self._reasoning += delta
            case wire.PointEvent(x=x, y=y):
                self._objects.append({"x": x, "y": y})
            case wire.BoxEvent():
                edges = ("x_min", "y_min", "x_max", "y_max")
                self._objects.append({edge: getattr(event, edge) for edge in edges})
            case wire.RequestDone():
                self._end(event)
            case wire.RequestFailed(error=error):
                if error.code in LATER:
                    raise Refused(error.code)
                raise Wrong(f"it failed: {error}")
            case wire.RequestCancelled():
                raise Wrong(f"nobody cancelled it: {event}")
            case _:
                return False
        return True

    def _end(self, done: wire.RequestDone) -> None:
        output, skill = done.output, self.create.skill
        made: Mapping[str, object] = {TEXTS[skill]: self._text} if skill in TEXTS else {}
        if skill in ("point", "detect"):
            made = {"points" if skill == "point" else "objects": self._objects}
        told = {name: output[name] for name in made}
        if made != told or self._reasoning != output.get("reasoning", {"text": ""})["text"]:
            raise Wrong(f"the events make {made} and {self._reasoning!r}, the last one says {output}")
        self.answer = {**output, "finish_reason": done.finish_reason}


class Socket:
    """A greeted connection. Whatever is called raises `WebSocketException` or `OSError` when it ends."""

    def __init__(self, connection: ClientConnection, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace
        self._given: set[str] = set()

    @classmethod
    async def open(cls, port: int, pace: Pace) -> Socket:
        """Connect and say hello."""
        socket = cls(
            await connect(
                f"ws://127.0.0.1:{port}/v1/ws",
                sock=pace.connect(port),
                subprotocols=[PROTOCOL],
                compression=None,
                max_queue=FRAMES_AHEAD if pace.pause_s else 16,
                open_timeout=None,  # how long anything may take, the client says
                ping_interval=None,
            ),
            pace,
        )
        await socket._send(wire.Hello())
        if not isinstance(answer := await socket.receive(), wire.Ready):
            raise Wrong(f"hello was answered with {answer}")
        return socket

    async def ask(self, asked: Asked, image_id: str, image_url: str) -> None:
        """Send a request, after its image if the server does not have it."""
        if image_id not in self._given:
            self._given.add(image_id)
            await self._send(wire.ImagePut(image_id, image_url))
        await self._send(replace(asked.create, image_id=image_id))

    async def resume(self, asked: Asked) -> None:
        """Go on with a request of another connection."""
        await self._send(wire.RequestResume(asked.create.request_id, asked.last))

    async def receive(self) -> wire.Message:
        """The next message."""
        frame = await self._connection.recv()
        if self._pace.pause_s:
            await asyncio.sleep(self._pace.pause_s)
        return wire.decode(frame)

    def hang_up(self) -> None:
        """Be gone, without a farewell."""
        self._connection.transport.abort()

    async def _send(self, message: wire.Message) -> None:
        await self._connection.send(wire.encode(message))
