"""A scripted engine that speaks `md-stream.v1` over a real socket, for tests of the app and the page.

Run as a program it behaves like `python -m dreamscope.engine serve`: it prints `listening` and `ready` lines.
What it answers is fixed by the words of the prompt:

    hang      writes half a reasoning, then waits until it is cancelled
    queue     waits behind two others until it is cancelled
    die       writes half a reasoning, then the process ends
    fail      ends with `request.failed`
    invalid   is refused with `request.failed` for the prompt, before it is accepted
    echo      the answer is the `request.create` it received, as JSON
    markup    answers with HTML and template signs
    anything else: a grounded reasoning and an answer, or points, or boxes, or a caption
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import dataclasses
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import websockets
from PIL import Image
from websockets.asyncio.server import ServerConnection, serve

from dreamscope.engine import wire

MODEL = wire.ModelInfo(
    id="sprite-2", name="Sprite 2", skills=("query", "caption", "point", "detect"), default=True, loaded=True
)
LIMITS = wire.Limits(max_message_bytes=24 * 2**20, max_inflight=16, replay_seconds=120, replay_events=4096)
PIECES = (
    "I see a ",
    ("dog", (0.27, 0.72)),
    " by the tree, another ",
    ("dog", (0.52, 0.78)),
    " in the middle and ",
)
PIECES += (("one", (0.79, 0.74)), " near the fence, so there are three.")
POINTS = ((0.27, 0.72), (0.52, 0.78), (0.79, 0.74))
BOXES = ((0.14, 0.6, 0.36, 0.88), (0.42, 0.63, 0.64, 0.9), (0.68, 0.6, 0.92, 0.88))
MARKUP = "<img src=x onerror=document.title='owned'> ${1+1} {{value}} `x`"


class Refused(Exception):
    """The request ends with this error."""

    def __init__(self, error: wire.ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


class Session:
    """One client."""

    def __init__(self, socket: ServerConnection, delay: float, loaded: asyncio.Event) -> None:
        self.socket = socket
        self.loaded = loaded
        self.delay = delay
        self.closed = False
        self.images: dict[str, tuple[int, int]] = {}
        self.running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        assert isinstance(wire.decode(await self.socket.recv()), wire.Hello)
        model = dataclasses.replace(MODEL, loaded=self.loaded.is_set())
        await self.send(wire.Ready(1, "c1", "fake/1", (model,), LIMITS))
        try:
            async for frame in self.socket:
                await self.take(wire.decode(frame))
        finally:
            self.closed = True
            for task in self.running.values():
                task.cancel()

    async def send(self, message: wire.Message) -> None:
        await self.socket.send(wire.encode(message))

    async def take(self, message: wire.Message) -> None:
        match message:
            case wire.ImagePut():
                await self.put(message)
            case wire.RequestCreate():
                self.running[message.request_id] = asyncio.create_task(self.answer(message))
            case wire.RequestCancel():
                if message.request_id in self.running:
                    self.running[message.request_id].cancel()

    async def put(self, message: wire.ImagePut) -> None:
        data = base64.b64decode(message.image_url.partition(",")[2])
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                width, height = image.size
        except OSError:
            error = wire.ErrorInfo(
                "The image cannot be decoded.", "invalid_request_error", "image_decode_failed"
            )
            await self.send(wire.ErrorEvent(error, message.image_id))
            return
        self.images[message.image_id] = (width, height)
        await self.send(wire.ImageReady(message.image_id, width, height, len(data), "0" * 64))

    async def answer(self, create: wire.RequestCreate) -> None:
        """Number the script's events and send them, with one terminal event at the end."""
        seq = -1
        base = {"request_id": create.request_id}
        try:
            async for cls, fields in script(create, self.images.get(create.image_id or "", (1, 1))):
                seq += 1
                await self.send(cls(**base, seq=seq, t=float(seq * 20), **fields))
                if cls not in (wire.RequestAccepted, wire.RequestStarted):
                    await asyncio.sleep(self.delay)
        except websockets.ConnectionClosed:
            return
        except asyncio.CancelledError:
            if self.closed:
                return
            await self.send(wire.RequestCancelled(**base, seq=seq + 1, reason="client", metrics=metrics(seq)))
        except Refused as refused:
            await self.send(wire.RequestFailed(**base, seq=seq + 1, error=refused.error))


async def script(create: wire.RequestCreate, size: tuple[int, int]) -> AsyncIterator[tuple[type, dict]]:
    """The events of one request as (class, fields without id, seq and t)."""
    prompt = create.question or create.object or ""
    if "invalid" in prompt:
        raise Refused(
            wire.ErrorInfo("This question is too long.", "invalid_request_error", "context_length_exceeded")
        )
    if "queue" in prompt:
        yield wire.RequestAccepted, {"model": MODEL.id, "skill": create.skill, "position": 2}
        await asyncio.Event().wait()
    yield wire.RequestAccepted, {"model": MODEL.id, "skill": create.skill}
    yield wire.RequestStarted, {"input_tokens": 735, "cached_tokens": 0, "image": wire.ImageInfo(*size, 5)}
    output: dict = {}
    if create.skill == "query":
        answer = "Three."
        answer = json.dumps(wire.to_json(create), sort_keys=True) if "echo" in prompt else answer
        answer = MARKUP if "markup" in prompt else answer
        output = {"answer": answer}
        if create.reasoning:
            async for item in reasoning(prompt, output):
                yield item
        yield wire.TextDelta, {"delta": answer}
    elif create.skill == "caption":
        output = {
            "caption": "Three dogs stand in a green meadow under a clear sky, one of them near a fence."
        }
        for word in output["caption"].split(" "):
            yield wire.TextDelta, {"delta": word if word == "Three" else " " + word}
    elif create.skill == "point":
        output = {"points": [{"x": x, "y": y} for x, y in POINTS], "count": len(POINTS)}
        for index, (x, y) in enumerate(POINTS):
            yield wire.PointEvent, {"index": index, "x": x, "y": y}
    else:
        names = ("x_min", "y_min", "x_max", "y_max")
        output = {"objects": [dict(zip(names, box, strict=True)) for box in BOXES]}
        for index, box in enumerate(BOXES):
            yield wire.BoxCenter, {"index": index, "x": (box[0] + box[2]) / 2, "y": (box[1] + box[3]) / 2}
            yield wire.BoxEvent, {"index": index, **dict(zip(names, box, strict=True))}
    yield wire.RequestDone, {"finish_reason": "stop", "output": output, "metrics": metrics(61)}


async def reasoning(prompt: str, output: dict) -> AsyncIterator[tuple[type, dict]]:
    text, grounds = "", []
    for piece in PIECES:
        if isinstance(piece, str):
            for word in piece.split(" "):
                delta = word if not text or text.endswith(" ") else " " + word
                if delta:
                    text += delta
                    yield wire.ReasoningDelta, {"delta": delta}
            continue
        words, place = piece
        index, start = len(grounds), len(text)
        yield wire.SpanOpen, {"index": index, "start": start}
        yield wire.SpanPoint, {"index": index, "x": place[0], "y": place[1]}
        text += words
        yield wire.ReasoningDelta, {"delta": words}
        yield wire.SpanClose, {"index": index, "end": len(text), "points": (place,)}
        grounds.append(wire.Ground(start, len(text), (place,)))
        if len(grounds) == 2:
            await half_way(prompt)
    output["reasoning"] = wire.to_json(wire.Reasoning(text, tuple(grounds)))
    yield wire.ReasoningDone, {"text": text, "grounding": tuple(grounds)}


async def half_way(prompt: str) -> None:
    """Do what the prompt says should go wrong."""
    if "die" in prompt:
        os._exit(1)
    if "hang" in prompt:
        await asyncio.Event().wait()
    if "fail" in prompt:
        raise Refused(
            wire.ErrorInfo("The device ran out of memory.", "server_error", "internal_error", None, True)
        )


def metrics(tokens: int) -> wire.Metrics:
    return wire.Metrics(
        735, tokens, 40, 0, 1.0, 20.0, 41.0, ttft_ms=84.0, decode_time_ms=536.0, total_time_ms=640.0
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between events")
    parser.add_argument("--gate", type=Path, help="a FIFO; once somebody writes to it, the model is loaded")
    options = parser.parse_args()
    loaded = asyncio.Event()

    async def session(socket: ServerConnection) -> None:
        await Session(socket, options.delay, loaded).run()

    async with serve(
        session,
        "127.0.0.1",
        options.port,
        subprotocols=[websockets.Subprotocol(wire.SUBPROTOCOL)],
        max_size=2**25,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        facts = json.dumps({"url": f"http://127.0.0.1:{port}", "port": port, "pid": os.getpid()})
        print("listening", facts, flush=True)
        if options.gate:
            await asyncio.to_thread(options.gate.read_bytes)
        loaded.set()
        print("ready", facts, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
