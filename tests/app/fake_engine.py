"""A scripted engine that speaks `md-stream.v1` over a real socket, for tests of the app and the page.

Run as a program it behaves like `python -m dreamscope.engine serve`: it prints `listening` and `ready` lines.
What it answers is fixed by the words of the prompt:

    hang      writes half a reasoning, then waits until it is cancelled
    queue     waits behind two others until it is cancelled
    die       writes half a reasoning, then the process ends
    cut       writes half a reasoning, then drops the connection and goes on
    fail      ends with `request.failed`
    invalid   is refused with `request.failed` for the prompt, before it is accepted
    echo      the answer is the `request.create` it received, as JSON
    markup    answers with HTML and template signs
    reword    another model, or one with an adapter, sees two of the places in other order and other words
    differ    another model, or one with an adapter, finds one box elsewhere and says something else
    anything else: a grounded reasoning and an answer, or points, boxes, an outline, a gaze, a caption;
    without an image an answer that says so

The events of a request are kept for `request.resume`; one that nobody listens to ends after `--grace`.
`trace.subscribe` is answered with what `fake_trace` makes up.
Of its models `sprite-2` is loaded from the start; `sprite-3` is when it is asked for, `broken` fails.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import websockets
from fake_script import CutOff, Refused, metrics, script  # a program finds what lies beside it
from fake_trace import FakeTrace
from PIL import Image
from websockets.asyncio.server import ServerConnection, serve

from dreamscope.engine import wire

SKILLS = ("query", "caption", "point", "detect", "gaze")
SKILLS3 = ("query", "caption", "point", "detect", "segment", "gaze")
MODELS = (
    wire.ModelInfo(
        "sprite-2", SKILLS, "Sprite 2", "A miniature of Moondream 2.", default=True, revision="0123456789ab"
    ),
    wire.ModelInfo("sprite-3", SKILLS3, "Sprite 3", "A miniature of Moondream 3.", adapters=("dogs@20",)),
    wire.ModelInfo(
        "moondream2",
        SKILLS,
        "Moondream 2",
        "1.9 billion parameters.",
        state="download",
        download_bytes=3_900_000_000,
    ),
    wire.ModelInfo("broken", SKILLS, "Broken", "Its weights are cut off."),
    wire.ModelInfo(
        "cloud/moondream3.1",
        SKILLS,
        "moondream3.1 at cloud",
        "Runs at cloud.example, not on this machine; images are sent there.",
        owned_by="cloud",
        price=wire.Price(0.3, 1.0, "Moondream Cloud"),
    ),
    wire.ModelInfo("giant", SKILLS3, "Giant", state="unavailable", reason="It needs 80 GB of memory."),
)
PRESETS = (
    wire.Preset("stars", "Find the stars", "detect", "star"),
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
UNREADABLE = (13, 13)
"""An image of this size cannot be decoded here."""
MESSAGE_BYTES, REPLAY_SECONDS, REPLAY_EVENTS = 24 * 2**20, 120, 4096


class Shelf:
    """The models, and which of them are loaded; tells everybody of changes."""

    def __init__(self) -> None:
        self.models = MODELS
        self.sessions: list[Session] = []
        self.requests: dict[str, Request] = {}
        self.depths: dict[str, str] = {}

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


class Request:
    """One request, its events so far, and who is told of them."""

    def __init__(self, create: wire.RequestCreate, delay: float) -> None:
        self.create = create
        self.delay = delay
        self.log: list[wire.RequestEvent] = []
        self.listeners: set[Session] = set()
        self.task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return bool(self.log) and isinstance(self.log[-1], wire.TERMINAL)

    async def tell(self, cls: type, **fields: Any) -> None:
        seq = len(self.log)
        event = cls(request_id=self.create.request_id, seq=seq, t=float(seq * 20), **fields)
        self.log.append(event)
        for session in tuple(self.listeners):
            await session.send(event)

    async def run(self, shelf: Shelf, size: tuple[int, int] | None) -> None:
        """Tell the script's events, with one terminal event at the end."""
        model = self.create.model or MODELS[0].id
        try:
            async for cls, fields in script(self.create, size, model):
                if cls is CutOff:
                    for session in tuple(self.listeners):
                        session.socket.transport.abort()
                    continue
                await self.tell(cls, **fields)
                if cls is wire.RequestAccepted:
                    await shelf.load(model, self.delay)
                if cls not in (wire.RequestAccepted, wire.RequestStarted):
                    await asyncio.sleep(self.delay)
        except asyncio.CancelledError as error:
            reason = error.args[0] if error.args else "shutdown"
            await self.tell(wire.RequestCancelled, reason=reason, metrics=metrics(len(self.log)))
        except Refused as refused:
            await self.tell(wire.RequestFailed, error=refused.error)


class Session:
    """One client."""

    def __init__(self, socket: ServerConnection, options: argparse.Namespace, shelf: Shelf) -> None:
        self.socket = socket
        self.options = options
        self.shelf = shelf
        self.images: dict[str, tuple[int, int]] = {}
        self.loading: set[asyncio.Task[None]] = set()
        self.trace = FakeTrace(self.send, shelf.depths, lambda: tuple(shelf.requests))

    async def run(self) -> None:
        assert isinstance(wire.decode(await self.socket.recv()), wire.Hello)
        limits = wire.Limits(MESSAGE_BYTES, self.options.inflight, REPLAY_SECONDS, REPLAY_EVENTS)
        await self.send(wire.Ready(1, "c1", "fake/1", self.shelf.models, limits, PRESETS))
        self.shelf.sessions.append(self)
        try:
            async for frame in self.socket:
                await self.take(wire.decode(frame))
        except websockets.ConnectionClosedError:
            pass
        finally:
            self.trace.stop()
            self.shelf.sessions.remove(self)
            for request in self.shelf.requests.values():
                request.listeners.discard(self)
                asyncio.get_running_loop().call_later(self.options.grace, abandon, request)

    async def send(self, message: wire.Message) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.socket.send(wire.encode(message))

    async def take(self, message: wire.Message) -> None:
        requests = self.shelf.requests
        match message:
            case wire.ImagePut():
                await self.put(message)
            case wire.ImageDrop():
                self.images.pop(message.image_id, None)
            case wire.RequestCreate():
                await self.create(message)
            case wire.ModelLoad():
                task = asyncio.create_task(self.load(message.model))
                self.loading.add(task)
            case wire.RequestCancel() if message.request_id in requests:
                cancel(requests[message.request_id], "client")
            case wire.RequestResume():
                await self.resume(message)
            case wire.TraceSubscribe(model="moondream2", interval_ms=ms) if ms:
                error = wire.ErrorInfo("Its steps are not known.", "server_error", "not_implemented", "model")
                await self.send(wire.ErrorEvent(error, message.model))
            case wire.TraceSubscribe():
                self.trace.subscribe(message)
            case wire.DepthSet():
                self.shelf.depths[message.model or MODELS[0].id] = str(message.depth)

    async def create(self, message: wire.RequestCreate) -> None:
        mine = [each for each in self.shelf.requests.values() if self in each.listeners and not each.over]
        if len(mine) >= self.options.inflight:
            error = wire.ErrorInfo("Too many requests.", "rate_limit_error", "too_many_requests")
            await self.send(wire.ErrorEvent(error, message.request_id))
            return
        request = Request(message, self.options.delay)
        request.listeners.add(self)
        self.shelf.requests[message.request_id] = request
        size = self.images.get(message.image_id) if message.image_id else None
        request.task = asyncio.create_task(request.run(self.shelf, size))

    async def resume(self, message: wire.RequestResume) -> None:
        request = self.shelf.requests.get(message.request_id)
        if request is None:
            error = wire.ErrorInfo("No such request.", "invalid_request_error", "request_unknown")
            await self.send(wire.ErrorEvent(error, message.request_id))
            return
        for event in request.log[message.after + 1 :]:
            await self.send(event)
        request.listeners.add(self)

    async def put(self, message: wire.ImagePut) -> None:
        data = base64.b64decode(message.image_url.partition(",")[2])
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.size == UNREADABLE:
                    raise OSError("The size that this engine does not read.")
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
            await self.shelf.load(model, self.options.delay)
        except Refused as refused:
            await self.send(wire.ErrorEvent(refused.error, model))


def abandon(request: Request) -> None:
    if not request.listeners:
        cancel(request, "disconnect")


def cancel(request: Request, reason: str) -> None:
    if request.task is not None and not request.over:
        request.task.cancel(reason)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between events")
    parser.add_argument("--gate", type=Path, help="a FIFO; once somebody writes to it, the model is loaded")
    parser.add_argument("--inflight", type=int, default=16, help="requests that one client may have going")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds that a request runs on unheard")
    options = parser.parse_args()
    shelf = Shelf()

    async def session(socket: ServerConnection) -> None:
        await Session(socket, options, shelf).run()

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
