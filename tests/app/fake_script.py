"""What the fake engine answers: events as (class, fields without id, seq and t)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

from dreamscope.engine import wire

PIECES = (
    "I see a ",
    ("dog", (0.27, 0.72)),
    " by the tree, another ",
    ("dog", (0.52, 0.78)),
    " in the middle and ",
)
PIECES += (("one", (0.79, 0.74)), " near the fence, so there are three.")
REWORDED = ("A ", ("cat", (0.52, 0.78)), " in the middle and a ", ("dog", (0.27, 0.72)), " by the tree.")
UNSEEN = ("No image is shown, so there is nothing to count.",)
POINTS = ((0.27, 0.72), (0.52, 0.78), (0.79, 0.74))
BOXES = ((0.14, 0.6, 0.36, 0.88), (0.42, 0.63, 0.64, 0.9), (0.68, 0.6, 0.92, 0.88))
MOVED = (0.43, 0.64, 0.65, 0.91)
EXTRA = (0.04, 0.3, 0.26, 0.6)
OUTLINE = ("M 0.5 0", "L 0.9 0.2", "L 1 0.6", "L 0.8 1", "L 0.2 1", "L 0 0.5", "L 0.15 0.15", "Z")
TARGET = (0.79, 0.74)
MARKUP = "<img src=x onerror=document.title='owned'> ${1+1} {{value}} `x`"
DATA = {"count": 3, "dogs": [{"where": "by the tree", "x": 0.27}, {"where": "near the fence", "x": 0.79}]}
CSV = "where,x\nby the tree,0.27\nnear the fence,0.79\n"
Script = AsyncIterator[tuple[type, dict[str, Any]]]
Pieces = tuple[str | tuple[str, tuple[float, float]], ...]


class Refused(Exception):
    """The request ends with this error."""

    def __init__(self, error: wire.ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


class CutOff:
    """In place of an event: the connection ends here, and the request goes on."""


async def script(create: wire.RequestCreate, size: tuple[int, int] | None, model: str) -> Script:
    """The events of one request on an image of this size, or on none."""
    prompt = create.question or create.object or ""
    if "invalid" in prompt:
        raise Refused(
            wire.ErrorInfo("This question is too long.", "invalid_request_error", "context_length_exceeded")
        )
    if "queue" in prompt:
        yield wire.RequestAccepted, {"model": model, "skill": create.skill, "position": 2}
        await asyncio.Event().wait()
    yield wire.RequestAccepted, {"model": model, "skill": create.skill}
    if size is None and create.skill not in ("query", "chat"):
        raise Refused(
            wire.ErrorInfo("The skill needs an image.", "invalid_request_error", "missing", "image_url")
        )
    image = wire.ImageInfo(*size, 5) if size else None
    yield wire.RequestStarted, {"input_tokens": 735 if size else 8, "cached_tokens": 0, "image": image}
    output: dict[str, Any] = {}
    parts = {
        "query": answer,
        "chat": answer,
        "caption": caption,
        "point": points,
        "detect": boxes,
        "segment": outline,
        "gaze": gaze,
    }
    async for item in parts[create.skill](create, output):
        yield item
    yield wire.RequestDone, {"finish_reason": "stop", "output": output, "metrics": metrics(61)}


async def answer(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    prompt = create.question or str(create.messages)
    form = (create.response_format or {}).get("type", "text")
    said = json.dumps(DATA) if form.startswith("json") else CSV if form == "csv" else "Three."
    pieces = PIECES if create.image_id else UNSEEN
    pieces = REWORDED if "reword" in prompt and other(create) else pieces
    said = said if create.image_id or create.messages else "I see none."
    said = json.dumps(wire.to_json(create), sort_keys=True) if "echo" in prompt else said
    said = MARKUP if "markup" in prompt else said
    if "differ" in prompt and other(create):
        said = "Only two of them are dogs."
    if create.reasoning:
        async for item in reasoning(prompt, output, pieces):
            yield item
    async for item in written(said, "answer", create, output):
        yield item


async def caption(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    said = "Three dogs stand in a green meadow under a clear sky, one of them near a fence."
    async for item in written(said, "caption", create, output):
        yield item


async def written(said: str, field: str, create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    """Text word by word, the tokens less likely one after the other."""
    output[field] = said
    pieces = [piece for piece in said.replace(" ", "\0 ").split("\0") if piece]
    probs = [(len(piece), round(0.99 * 0.8**index, 4)) for index, piece in enumerate(pieces)]
    for piece, prob in zip(pieces, probs, strict=True):
        yield wire.TextDelta, {"delta": piece, "probs": (prob,) if create.uncertainty else None}
    if create.uncertainty:
        output["probs"] = [list(prob) for prob in probs]


async def points(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    found = [wire.Point(x, y, place_spread(create, x, y)) for x, y in POINTS]
    output.update(wire.to_json(wire.PointResult(tuple(found), len(found))))
    for index, point in enumerate(found):
        if index == 2:
            await half_way(create.object or "")
        yield wire.PointEvent, {"index": index, "x": point.x, "y": point.y, "spread": point.spread}


async def boxes(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    places = (BOXES[0], MOVED, EXTRA) if "differ" in (create.object or "") and other(create) else BOXES
    found = [wire.Box(*box, spread=box_spread(create, box)) for box in places]
    output.update(wire.to_json(wire.DetectResult(tuple(found))))
    for index, box in enumerate(found):
        if index == 2:
            await half_way(create.object or "")
        x, y = (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2
        yield wire.BoxCenter, {"index": index, "x": x, "y": y}
        sides = {"x_min": box.x_min, "y_min": box.y_min, "x_max": box.x_max, "y_max": box.y_max}
        yield wire.BoxEvent, {"index": index, **sides, "spread": box.spread}


async def outline(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    """The first dog; without a box, the one around which a box was drawn."""
    refs = [ref for ref in create.spatial_refs or () if len(ref) == 4]
    corners = refs[0] if refs else BOXES[0]
    box = wire.Box(*corners)
    spread = box_spread(create, corners)
    yield wire.MaskBox, {"bbox": box, "spread": spread}
    for index, piece in enumerate(OUTLINE):
        yield wire.MaskDelta, {"delta": piece if index == 0 else f" {piece}", "n": 3}
    path = " ".join(OUTLINE)
    yield wire.MaskDone, {"path": path, "coarse_path": path, "bbox": box, "coarse_bbox": box}
    output.update(wire.to_json(wire.SegmentResult(path, wire.Box(*corners, spread=spread))))


async def gaze(create: wire.RequestCreate, output: dict[str, Any]) -> Script:
    spread = None if create.face else place_spread(create, *TARGET)
    yield wire.GazeEvent, {"x": TARGET[0], "y": TARGET[1], "spread": spread}
    output.update(wire.to_json(wire.GazeResult(wire.Point(*TARGET, spread))))


def other(create: wire.RequestCreate) -> bool:
    """Whether not the plain first model is asked."""
    return create.variant is not None or create.model not in (None, "sprite-2")


def place_spread(create: wire.RequestCreate, x: float, y: float) -> wire.PlaceSpread | None:
    if not create.uncertainty:
        return None
    return wire.PlaceSpread(around(x, 0.012), around(y, 0.02))


def box_spread(create: wire.RequestCreate, box: tuple[float, ...]) -> wire.BoxSpread | None:
    if not create.uncertainty:
        return None
    x1, y1, x2, y2 = box
    middle = (around((x1 + x2) / 2, 0.012), around((y1 + y2) / 2, 0.01))
    return wire.BoxSpread(*middle, around(x2 - x1, 0.02), around(y2 - y1, 0.015))


def around(value: float, wide: float) -> wire.Spread:
    return wire.Spread(0.42, (value - wide, value + wide), (value - 2 * wide, value + 2 * wide))


async def reasoning(prompt: str, output: dict[str, Any], pieces: Pieces) -> Script:
    text, grounds = "", []
    for piece in pieces:
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
            if "cut" in prompt:
                yield CutOff, {}
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
