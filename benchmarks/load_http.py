"""HTTP of the load test: connections that can be slow to read, and that can be hung up on at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from load_asks import TEXTS, Answer, Ask, answer_of

LATER = ("queue_full", "model_loading")
"""Errors that are specified for a server which has too much to do, or has just been started."""
_FAST = 2**16


@dataclass(frozen=True, slots=True)
class Pace:
    """How a client reads: at most `sip` bytes, then a pause of so many seconds."""

    sip: int = _FAST
    pause_s: float = 0.0

    def connect(self, port: int) -> socket.socket:
        """A connection whose buffer on this side is not larger than a few sips."""
        sock = socket.socket(proto=socket.IPPROTO_TCP)  # known for TCP, it is not delayed by Nagle
        if self.sip < _FAST:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * self.sip)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        return sock


class Refused(Exception):
    """An answer that says to come back later; the text is its code, one of `LATER`."""


class Wrong(Exception):
    """An answer that it must not have been."""


class Http:
    """One kept connection. Whatever is called raises `OSError` or `EOFError` if it ends in the middle."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: Pace) -> None:
        self._reader = reader
        self._writer = writer
        self._pace = pace
        self._unread = b""

    @classmethod
    async def open(cls, port: int, pace: Pace) -> Http:
        """Connect."""
        reader, writer = await asyncio.open_connection(sock=pace.connect(port), limit=4 * pace.sip)
        return cls(reader, writer, pace)

    def send(self, path: str, body: bytes, share: float = 1.0) -> None:
        """Send a request, or the first share of its body."""
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body[: int(share * len(body))])

    async def answer(self) -> tuple[int, AsyncIterator[bytes]]:
        """The status, and the pieces of the body; the next request must wait for the last of them."""
        head = (await self._until(b"\r\n\r\n")).decode("latin-1").lower()
        return int(head.split()[1]), self._pieces(head)

    def hang_up(self) -> None:
        """Be gone, whatever is on its way."""
        self._writer.transport.abort()

    async def _pieces(self, head: str) -> AsyncIterator[bytes]:
        if "content-length: " in head:
            yield await self._exactly(int(head.split("content-length: ")[1].split()[0]))
            return
        while size := int(await self._until(b"\r\n"), 16):
            yield (await self._exactly(size + 2))[:-2]
        await self._until(b"\r\n")

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            await self._sip()
        found, _, self._unread = self._unread.partition(mark)
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            await self._sip()
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    async def _sip(self) -> None:
        piece = await self._reader.read(self._pace.sip)
        if not piece:
            raise EOFError("the server closed the connection in the middle")
        self._unread += piece
        if self._pace.pause_s:
            await asyncio.sleep(self._pace.pause_s)


async def plain(http: Http, ask: Ask, image_url: str) -> Answer:
    """The answer of a plain request. Raises `Refused` or `Wrong`."""
    http.send(ask.path, ask.body(image_url))
    return answer_of(ask, json.loads(await whole(*await http.answer())))


async def whole(status: int, pieces: AsyncIterator[bytes]) -> bytes:
    """The body of an answer of status 200. Raises `Refused` or `Wrong` for another."""
    body = b"".join([piece async for piece in pieces])
    if status == 200:
        return body
    with contextlib.suppress(ValueError, KeyError, TypeError):  # then it is no error of ours
        if (code := json.loads(body)["error"]["code"]) in LATER:
            raise Refused(code)
    raise Wrong(f"status {status}: {body[:500]!r}")


class Told:
    """What the events of a stream add up to, native or OpenAI's."""

    def __init__(self, ask: Ask) -> None:
        self.answer: Answer | None = None
        self.text = ""
        self.ended = False
        """Whether nothing is missing: OpenAI's streams have a mark after the last event."""
        self._ask = ask
        self._reasoning = ""
        self._grounding: list[Any] = []

    def take(self, payload: str) -> None:
        """The next event. Raises `Wrong` for one that fails, or comes after the last."""
        if payload == "[DONE]" and self.answer is not None and self._ask.skill == "chat" and not self.ended:
            self.ended = True
            return
        if self.answer is not None or payload.startswith("["):
            raise Wrong(f"the event {payload[:200]} after {self.answer}")
        event = json.loads(payload)
        if "error" in event:
            raise Wrong(f"the stream failed: {event}")
        if self._ask.skill == "chat":
            self._take_chunk(event)
        else:
            self._take_native(event)

    def check_against(self, wanted: Answer) -> None:
        """Raises `Wrong` if what came so far is not the beginning of the wanted answer."""
        text = wanted["content"] if self._ask.skill == "chat" else wanted[TEXTS[self._ask.skill]]
        if not text.startswith(self.text):
            raise Wrong(f"the text {self.text!r} is no beginning of {text!r}")

    def _take_native(self, event: dict[str, Any]) -> None:
        self._reasoning += event.get("reasoning", "") if event.get("type") == "reasoning_delta" else ""
        self._grounding += [event["grounding"]] if event.get("type") == "grounding" else []
        self.text += event.get("chunk", "")
        if not event["completed"]:
            return
        self.answer, self.ended = answer_of(self._ask, event), True
        reasoning = self.answer.get("reasoning", {"text": "", "grounding": []})
        made = self.text, self._reasoning, self._grounding
        if made != (self.answer[TEXTS[self._ask.skill]], reasoning["text"], reasoning["grounding"]):
            raise Wrong(f"the pieces make {made}, the last event says {self.answer}")

    def _take_chunk(self, event: dict[str, Any]) -> None:
        (choice,) = event["choices"]
        self.text += choice["delta"].get("content", "")
        if choice["finish_reason"] is not None:
            self.answer = {
                "role": "assistant",
                "content": self.text,
                "finish_reason": choice["finish_reason"],
            }


async def payloads(status: int, pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of the events of a stream. Raises `Refused`, or `Wrong` for a line that is none."""
    if status != 200:
        await whole(status, pieces)
    unread = ""
    async for piece in pieces:
        unread += piece.decode("ascii")
        *events, unread = unread.split("\n\n")
        for event in events:
            if event.startswith("data: "):
                yield event.removeprefix("data: ")
            elif not event.startswith(": "):
                raise Wrong(f"a stream with {event[:200]!r} in it")
    if unread:
        raise Wrong(f"a stream that ends with {unread[:200]!r}")
