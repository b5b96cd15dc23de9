"""Moondream's own routes: `POST /v1/caption`, `query`, `detect`, `point`, `segment`, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from starlette.routing import BaseRoute, Route

from dreamscope.engine import wire
from dreamscope.engine.server.answering import Asked, Asking
from dreamscope.engine.server.bodies import Bodies
from dreamscope.engine.server.http import ascii_json, error_object
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.model_choice import answering_model
from dreamscope.engine.server.routes.fields import SKILL_ROUTES, SkillRoute, flag, skill_message

BROKEN = "[ERROR]"
"""No JSON on purpose: it is what makes Moondream's clients raise, which take a stream's end for success."""


def routes(hub: Hub, bodies: Bodies) -> list[BaseRoute]:
    """One route per skill."""
    return [
        Route(route.path, Asking(hub, bodies, partial(read, hub, route)), methods=["POST"])
        for route in SKILL_ROUTES
    ]


def read(hub: Hub, route: SkillRoute, body: Mapping[str, Any], request_id: str) -> Asked:
    """What a native body asks for. Raises `InvalidParameter`, `MissingParameter` or `ModelNotFound`."""
    stream = flag(body, "stream") and route.streams
    message = answering_model(hub.shelf, skill_message(body, route, request_id))
    return Asked(message, stream, lambda accepted: Native(request_id, route.skill))


class Native:
    """A `Dialect`. Events without `chunk` are extensions that the official clients pass over."""

    def __init__(self, request_id: str, skill: str) -> None:
        self._request_id = request_id
        self._skill = skill
        self._start = 0  # of the open span

    def body(self, done: wire.RequestDone) -> dict[str, Any]:
        """The result with its costs."""
        return {"request_id": self._request_id, **_result(done)}

    def head(self) -> Iterator[str]:
        """Nothing."""
        yield from ()

    def pieces(self, event: wire.RequestEvent) -> Iterator[str]:
        """Text, reasoning and its spans, or the outline; the last one has the whole result."""
        match event:
            case wire.TextDelta(delta=delta) if delta:
                yield self._event(chunk=delta)
            case wire.ReasoningDelta(delta=delta):
                yield self._event("reasoning_delta", reasoning=delta)
            case wire.SpanOpen(start=start):
                self._start = start
            case wire.SpanClose(end=end, points=points) if points:
                ground = wire.to_json(wire.Ground(self._start, end, points))
                yield self._event("grounding", grounding=ground)
            case wire.MaskBox(bbox=bbox):
                yield self._event("bbox", bbox=wire.to_json(bbox))
            case wire.MaskDelta(delta=delta):
                yield self._event("path_delta", chunk=delta)
            case wire.RequestDone() if self._skill == "segment":
                yield self._event("final", completed=True, **_result(event))
            case wire.RequestDone():
                yield self._event(chunk="", completed=True, **_result(event))

    def failure(self, error: wire.ErrorInfo) -> Iterator[str]:
        """What happened, then something that no client can take for an end."""
        return failure(error, self._request_id)

    def _event(self, kind: str | None = None, completed: bool = False, **fields: Any) -> str:
        known = fields if kind is None else {"type": kind, **fields}
        return ascii_json({**known, "completed": completed, "request_id": self._request_id})


def failure(error: wire.ErrorInfo, request_id: str) -> Iterator[str]:
    """The last two payloads of a native stream that has failed."""
    fields = {"type": "error", "error": error_object(error), "completed": False}
    yield ascii_json({**fields, "request_id": request_id})
    yield BROKEN


def _result(done: wire.RequestDone) -> dict[str, Any]:
    metrics = wire.to_json(done.metrics)
    return {**done.output, "finish_reason": done.finish_reason, "metrics": metrics}
