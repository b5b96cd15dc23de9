"""The engine server with an engine that answers everything at once: the subject of `fuzz.py`.

`python benchmarks/instant.py` serves on a free port, prints `listening PORT`, and stops with its input.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from processes import resident

from dreamscope.engine import wire
from dreamscope.engine.models.registry import SKILLS3
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.server.app import build_app
from dreamscope.engine.server.listen import bind
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.process import EngineServer, uvicorn_config
from dreamscope.engine.server.serving import Deliver, Known, Serving
from dreamscope.engine.server.shelf import Shelf

MODEL = wire.ModelInfo("instant", SKILLS3, "Instant", "Answers at once.", context_length=2048)
BOX = wire.Box(0.1, 0.2, 0.3, 0.4)
RESULTS: dict[str, wire.Result] = {
    "query": wire.QueryResult("2"),
    "caption": wire.CaptionResult("2"),
    "chat": wire.ChatResult("2"),
    "point": wire.PointResult((wire.Point(0.5, 0.5),), 1),
    "detect": wire.DetectResult((BOX,)),
    "segment": wire.SegmentResult("M 0 0 L 1 1 Z", BOX),
    "gaze": wire.GazeResult(wire.Point(0.5, 0.5)),
}


class InstantEngine:
    """Ends every request inside `submit`."""

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Deliver all events of the request."""
        skill = request.skill_request.skill
        accepted = wire.RequestAccepted(request_id="", model=request.model, skill=skill, tag=request.tag)
        events: list[wire.RequestEvent] = [] if request.accepted_at is not None else [accepted]
        if skill in ("query", "caption", "chat"):
            events.append(wire.TextDelta(request_id="", delta="2"))
        output = wire.result_to_json(RESULTS[skill])
        done = wire.RequestDone(request_id="", finish_reason="stop", output=output, metrics=wire.Metrics())
        first = 0 if request.accepted_at is None else 1
        name = request.request_id
        numbered: list[wire.Message] = [
            replace(event, request_id=name, seq=first + index) for index, event in enumerate([*events, done])
        ]
        deliver([(name, numbered)])

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Everything is over already."""

    def stats(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}

    def shutdown(self) -> None:
        """There is nothing to stop."""


async def serve() -> None:
    """Serve until standard input ends."""
    shelf = Shelf([Known(MODEL, lambda report: Serving(MODEL, InstantEngine(), "nowhere"), light=True)])
    (await shelf.wait(MODEL.id)).release()
    app = build_app(shelf, ServerOptions())
    listener = bind("127.0.0.1", 0, 1)
    server = EngineServer(
        uvicorn_config(app, "critical"),
        app.door.close,
        lambda: print("listening", listener.getsockname()[1], flush=True),
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


@dataclass(frozen=True, slots=True)
class Child:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def memory(self) -> int:
        """Bytes that it holds."""
        return resident(self.process.pid)


@contextmanager
def child() -> Iterator[Child]:
    """Start one, and stop it at the end. Raises `RuntimeError` if it did not end well."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield Child(process, int(process.stdout.readline().split()[1]))
    alive = process.poll() is None
    process.stdin.close()
    if not alive or process.wait(30):
        raise RuntimeError(f"the server ended with status {process.returncode}")


if __name__ == "__main__":
    asyncio.run(serve())
