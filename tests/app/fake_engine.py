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
    anything else: a grounded reasoning and an answer, or points, boxes, an outline, a gaze, a caption

Of its models `sprite-2` is loaded from the start; `sprite-3` is when it is asked for, `broken` fails.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import websockets
from fake_script import Refused, metrics, script  # a program finds what lies beside it
from PIL import Image
from websockets.asyncio.server import ServerConnection, serve

from dreamscope.engine import wire

SKILLS = ("query", "caption", "point", "detect", "gaze")
SKILLS3 = ("query", "caption", "point", "detect", "segment", "gaze")
MODELS = (
    wire.ModelInfo("sprite-2", SKILLS, "Sprite 2", "A miniature of Moondream 2.", default=True),
    wire.ModelInfo("sprite-3", SKILLS3, "Sprite 3", "A miniature of Moondream 3.", adapters=("dogs@20",)),
    wire.ModelInfo("moondream2", SKILLS, "Moondream 2", "1.9 billion parameters.", state="download"),
    wire.ModelInfo("broken", SKILLS, "Broken", "Its weights are cut off."),
    wire.ModelInfo("giant", SKILLS3, "Giant", state="unavailable", reason="It needs 80 GB of memory."),
)
PRESETS = (
    wire.Preset("tags", "Tag the image", "query", "List tags.", False, {"type": "json_object"}),
    wire.Preset(
        "dogs",
        "Count the dogs",
        "query",
        "How many dogs?",
        True,
        {"type": "json_schema", "schema": {"type": "object", "properties": {"count": {"type": "integer"}}}},
    ),
)
LIMITS = wire.Limits(max_message_bytes=24 * 2**20, max_inflight=16, replay_seconds=120, replay_events=4096)


class Shelf:
    """The models, and which of them are loaded; tells everybody of changes."""

    def __init__(self) -> None:
        self.models = MODELS
        self.sessions: list[Session] = []

    def change(self, model: str, **fields: Any) -> None:
        self.models = tuple(dataclasses.replace(m, **fields) if m.id == model else m for m in self.models)

    async def tell(self, message: wire.Message) -> None:
        for session in tuple(self.sessions):
            await session.send(message)

    async def load(self, model: str, delay: float) -> None:
        """Load in four steps, unless it is there."""
        info = next(m for m in self.models if m.id == model)
        if info.loaded or info.default:
            return
        self.change(model, state="loading")
        await self.tell(wire.Models(self.models))
        for done in (0.0, 0.25, 0.5, 0.75):
            await self.tell(wire.ModelProgress(model, "Reading the weights", done))
            await asyncio.sleep(delay)
        ready = model != "broken"
        failed = {"state": "failed", "reason": "Its weights end too early."}
        self.change(model, **({"state": "ready", "loaded": True} if ready else failed))
        await self.tell(wire.Models(self.models))
        if not ready:
            raise Refused(wire.ErrorInfo(failed["reason"], "server_error", "model_load_failed", "model"))


class Session:
    """One client."""

    def __init__(self, socket: ServerConnection, delay: float, shelf: Shelf) -> None:
        self.socket = socket
        self.shelf = shelf
        self.delay = delay
        self.closed = False
        self.images: dict[str, tuple[int, int]] = {}
        self.running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        assert isinstance(wire.decode(await self.socket.recv()), wire.Hello)
        await self.send(wire.Ready(1, "c1", "fake/1", self.shelf.models, LIMITS, PRESETS))
        self.shelf.sessions.append(self)
        try:
            async for frame in self.socket:
                await self.take(wire.decode(frame))
        finally:
            self.closed = True
            self.shelf.sessions.remove(self)
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
            case wire.ModelLoad():
                self.running[message.model] = asyncio.create_task(self.load(message.model))
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

    async def load(self, model: str) -> None:
        try:
            await self.shelf.load(model, self.delay)
        except Refused as refused:
            await self.send(wire.ErrorEvent(refused.error, model))

    async def answer(self, create: wire.RequestCreate) -> None:
        """Number the script's events and send them, with one terminal event at the end."""
        seq = -1
        base = {"request_id": create.request_id}
        model = create.model or MODELS[0].id
        try:
            async for cls, fields in script(create, self.images.get(create.image_id or "", (1, 1)), model):
                seq += 1
                await self.send(cls(**base, seq=seq, t=float(seq * 20), **fields))
                if cls is wire.RequestAccepted:
                    await self.shelf.load(model, self.delay)
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


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between events")
    parser.add_argument("--gate", type=Path, help="a FIFO; once somebody writes to it, the model is loaded")
    options = parser.parse_args()
    shelf = Shelf()

    async def session(socket: ServerConnection) -> None:
        await Session(socket, options.delay, shelf).run()

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
        shelf.change(MODELS[0].id, loaded=True)
        await shelf.tell(wire.Models(shelf.models))
        print("ready", facts, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
