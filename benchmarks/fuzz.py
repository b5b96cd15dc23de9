"""Malformed HTTP bodies and websocket frames against the engine server, in a process of its own.

    python benchmarks/fuzz.py --cases 100000

Half of the cases are bodies, half are frames. Of each the server must say something that the protocol knows,
and nothing that only a bug could have caused; it must be alive at the end, and must not have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter

from instant import Child, child
from mutations import bodies, frames, mutate
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from dreamscope.engine import errors, wire

PROTOCOL = Subprotocol(wire.SUBPROTOCOL)
CONNECTIONS = 8
WARM_UP = 0.2
"""The share of the cases after which memory is looked at for the first time."""
GROWTH = 64 * 2**20
"""Bytes that the server may hold more at the end than then: what 120 s of finished requests leave behind."""
CLOSES = {1009, 4400}
TIMEOUT = 30.0


class Failure(Exception):
    """The server did what it must not do; the text has the case."""


class Bodies:
    """One HTTP connection after the other, each used until the server closes it."""

    def __init__(self, port: int, rng: random.Random, seen: Counter[str]) -> None:
        self._port = port
        self._rng = rng
        self._seen = seen
        self._right = list(bodies().items())

    async def run(self, cases: int) -> None:
        """Send so many bodies. Raises `Failure`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for _ in range(cases):
            path, right = self._rng.choice(self._right)
            body = mutate(right, self._rng)
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            async with asyncio.timeout(TIMEOUT):
                status, answer = await _answer(reader)
            self._seen[_judge_answer(path, body, status, answer)] += 1
        writer.close()


class Frames:
    """One websocket after the other, each used until the server closes it."""

    def __init__(self, port: int, rng: random.Random, seen: Counter[str]) -> None:
        self._url = f"ws://127.0.0.1:{port}/v1/ws"
        self._rng = rng
        self._seen = seen
        self._right = frames()

    async def run(self, cases: int) -> None:
        """Send so many frames. Raises `Failure`."""
        left = cases
        while left:
            async with connect(self._url, subprotocols=[PROTOCOL], compression=None, max_size=None) as ws:
                await ws.send(wire.encode(wire.Hello()))
                left = await self._use(ws, left)

    async def _use(self, ws: ClientConnection, left: int) -> int:
        """Returns how many cases are left once the connection is closed or none is left."""
        while left:
            right = self._rng.choice(self._right)
            if right["type"] == wire.RequestCreate.wire_type:
                right = {**right, "request_id": f"{id(self)}-{left}"}
            frame = mutate(right, self._rng)
            left -= 1
            probe = f"probe-{left}"
            try:
                try:
                    await ws.send(frame.decode())
                except UnicodeDecodeError:
                    await ws.send(frame)  # binary, which closes the connection
                await ws.send(wire.encode(wire.RequestCancel(probe)))
                async with asyncio.timeout(TIMEOUT):
                    while not self._judge(wire.decode(await ws.recv()), frame, probe):
                        pass
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                if code not in CLOSES:
                    raise Failure(f"close code {code} for the frame {frame[:300]!r}") from None
                self._seen[f"close {code}"] += 1
                return left
        return left

    def _judge(self, message: wire.Message, frame: bytes, probe: str) -> bool:
        """Whether this answers the probe, so that the frame has been dealt with."""
        error = getattr(message, "error", None)
        if error is None:
            return False
        if error.code == errors.InternalError.code:
            raise Failure(f"{error} for the frame {frame[:300]!r}")
        if isinstance(message, wire.ErrorEvent) and message.ref == probe:
            return True
        self._seen[error.code] += 1
        return False


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split()[1])
    if "content-length: " in head:
        return status, await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return status, body


def _judge_answer(path: str, body: bytes, status: int, answer: bytes) -> str:
    """A name for the outcome. Raises `Failure` for one that is not specified."""
    try:
        answer.decode("ascii")
        if status == 200:
            if b"internal_error" in answer or b"[ERROR]" in answer:
                raise ValueError("a stream that failed")
            return "200"
        error = json.loads(answer)["error"]
        known = errors.from_info(wire.ErrorInfo(error["message"], error["type"], error["code"]))
        if (known.code, known.type, known.status) != (error["code"], error["type"], status) or status == 500:
            raise ValueError("not a specified error")
        return str(error["code"])
    except (ValueError, KeyError, TypeError) as wrong:
        raise Failure(f"{wrong!r}: {status} {answer[:300]!r} for {path} {body[:300]!r}") from None


async def fuzz(server: Child, cases: int, seed: int, seen: Counter[str]) -> None:
    """Send the cases over several connections at once. Raises `Failure`."""
    share = max(1, cases // CONNECTIONS)
    async with asyncio.TaskGroup() as group:
        for index in range(CONNECTIONS):
            kind = Bodies if index % 2 else Frames
            group.create_task(kind(server.port, random.Random(f"{seed}/{index}"), seen).run(share))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, seen = time.monotonic(), Counter[str]()
    with child() as server:
        early = int(options.cases * WARM_UP)
        asyncio.run(fuzz(server, early, options.seed, seen))
        before = server.memory()
        asyncio.run(fuzz(server, options.cases - early, options.seed + 1, seen))
        grown = server.memory() - before
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s, seed {options.seed}")
    print(", ".join(f"{name} {count}" for name, count in seen.most_common()))
    print(f"memory {before / 2**20:.0f} MiB after {early} cases, {grown / 2**20:+.0f} MiB at the end")
    if grown > GROWTH:
        raise SystemExit(f"the server has grown by {grown / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
