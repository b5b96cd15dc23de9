"""An engine that only hands out tokens, at a set pace: the source that both pages of `ui.py` are measured on.

The question `2000 tokens at 500` is answered with 2,000 tokens, 500 a second; `at 0` as fast as the socket
takes them. The text of every token is the wall clock when it was handed out, so that whoever sees it knows
how old it is.
"""

from __future__ import annotations

import asyncio
import io
import re
import time
from base64 import b64decode

import websockets
from PIL import Image
from websockets.asyncio.server import ServerConnection, serve

from dreamscope.engine import wire

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
WIDTH = 5
"""Characters of a token: a space and four digits of base 36, which count milliseconds for 28 minutes."""
CYCLE_MS = 36 ** (WIDTH - 1)
MODEL = wire.ModelInfo("clock", ("query",), "Clock", "Tells the time.", default=True, loaded=True)
LIMITS = wire.Limits(24 * 2**20, 16, 120, 4096)
_ORDER = re.compile(r"(\d+) tokens at (\d+)")


def stamp(milliseconds: int) -> str:
    """A token that was handed out at this wall-clock time."""
    left, digits = milliseconds % CYCLE_MS, ""
    for _ in range(WIDTH - 1):
        left, digit = divmod(left, 36)
        digits = DIGITS[digit] + digits
    return f" {digits}"


def births(text: str) -> list[int]:
    """The times in a text of tokens, modulo the cycle. Raises `ValueError` if it is not made of them."""
    text = f" {text.strip()}"
    return [int(text[at + 1 : at + WIDTH], 36) for at in range(0, len(text), WIDTH)]


async def tokens(socket: ServerConnection, create: wire.RequestCreate) -> None:
    """Answer one request."""
    order = _ORDER.search(create.question or "")
    count, rate = (int(order[1]), int(order[2])) if order else (10, 0)
    seq, said, began = 0, "", time.monotonic()

    async def send(cls: type[wire.RequestEvent], **fields: object) -> None:
        nonlocal seq
        t = (time.monotonic() - began) * 1000
        await socket.send(wire.encode(cls(request_id=create.request_id, seq=seq, t=t, **fields)))  # type: ignore[arg-type]
        seq += 1

    await send(wire.RequestAccepted, model=MODEL.id, skill="query")
    await send(wire.RequestStarted, input_tokens=110, cached_tokens=0, image=wire.ImageInfo(640, 480, 2))
    for index in range(count):
        if rate:
            await asyncio.sleep(max(0.0, began + index / rate - time.monotonic()))
        text = stamp(time.time_ns() // 1_000_000)
        said += text
        await send(wire.TextDelta, delta=text, probs=((WIDTH, 0.9),) if create.uncertainty else None)
    metrics = wire.Metrics(110, count, ttft_ms=1.0, decode_time_ms=1.0, total_time_ms=2.0)
    await send(wire.RequestDone, finish_reason="stop", output={"answer": said}, metrics=metrics)


async def session(socket: ServerConnection) -> None:
    """Serve one client until it leaves."""
    running: set[asyncio.Task[None]] = set()
    try:
        async for frame in socket:
            match wire.decode(frame):
                case wire.Hello():
                    await socket.send(wire.encode(wire.Ready(1, "c1", "clock/1", (MODEL,), LIMITS)))
                case wire.ImagePut() as put:
                    data = b64decode(put.image_url.partition(",")[2])
                    with Image.open(io.BytesIO(data)) as image:
                        size = image.size
                    ready = wire.ImageReady(put.image_id, *size, len(data), "0" * 64)
                    await socket.send(wire.encode(ready))
                case wire.RequestCreate() as create:
                    task = asyncio.create_task(tokens(socket, create))
                    running.add(task)
                    task.add_done_callback(running.discard)
    except websockets.ConnectionClosed:
        pass
    finally:
        for task in running:
            task.cancel()


async def main() -> None:
    """Serve on any free port; prints it."""
    protocols = [websockets.Subprotocol(wire.SUBPROTOCOL)]
    async with serve(session, "127.0.0.1", 0, subprotocols=protocols, max_size=2**25) as server:
        print(f"at ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
