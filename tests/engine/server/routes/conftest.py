"""HTTP over a bare socket, so that every byte of an answer can be looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

TIMEOUT = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is without the chunks of the transfer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.body.isascii()
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error, whose body is complete."""
        told = self.json()
        assert set(told) == {"error", "request_id"}
        assert set(told["error"]) == {"message", "type", "param", "code"}
        assert told["request_id"] == self.headers["x-request-id"]
        return told["error"]["code"]

    @property
    def payloads(self) -> list[str]:
        """What follows `data: ` in each event of a stream; nothing else may be in it."""
        assert self.body.isascii()
        assert self.headers["content-type"].startswith("text/event-stream")
        assert self.body.endswith(b"\n\n")
        events = self.body.decode().removesuffix("\n\n").split("\n\n")
        assert all(event.startswith("data: ") and "\n" not in event for event in events)
        return [event.removeprefix("data: ") for event in events]


class Raw:
    """One connection. `send` writes a request, `answer` reads what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if "transfer_encoding" not in headers and "content_length" not in headers:
            lines.append(f"content-length: {len(data)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + data)
        async with asyncio.timeout(TIMEOUT):
            await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(TIMEOUT):
            head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(status.split()[1]), {name.lower(): value for name, value in pairs}

    async def answer(self) -> Answer:
        status, headers = await self.head()
        async with asyncio.timeout(TIMEOUT):
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif status == 204:
                body = b""
            else:
                body = b"".join([chunk async for chunk in self.chunks()])
        return Answer(status, headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a streamed body, until it ends properly."""
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()


@pytest.fixture
def dial(server) -> Callable[..., Any]:
    """Opens a connection to `server`, or to another harness."""

    @asynccontextmanager
    async def connect(harness=None) -> AsyncIterator[Raw]:
        target = harness or server
        reader, writer = await asyncio.open_connection(target.host, target.port)
        yield Raw(reader, writer)
        writer.close()

    return connect


@pytest.fixture
def ask(dial) -> Callable[..., Any]:
    """One request on a connection of its own."""

    async def ask(method: str, path: str, body: Any = None, harness=None, **headers: str) -> Answer:
        async with dial(harness) as raw:
            await raw.send(method, path, body, **headers)
            return await raw.answer()

    return ask
