"""Bodies and frames that are wrong in every way we could think of, from a seed."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import Image

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**30, float("nan"), float("inf")),
    *("", " ", "x", "\ud800", "\u0000", "\U0001f319" * 40, "x" * 20_000, "data:image/png;base64,"),
    *("http://127.0.0.1:1/x.png", "file:///etc/passwd", "../../x", "sprite-2/a@b", "no-such/model@1"),
    *([], {}, [[]], {"": ""}, [0.5, 2], [[0.1, 0.2, 0.3]], {"type": "json_schema"}, {"$ref": "#"}),
)
_SOUP = b'{}[]",:0123456789eE+-.\\untrfalse \xff\x00\xc3'


@cache
def picture(corrupt: int = 0) -> str:
    """A small PNG as a data URL, with one byte changed unless `corrupt` is 0."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 120, 40)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    if corrupt:
        data[corrupt % len(data)] ^= 0x55
    return "data:image/png;base64," + base64.b64encode(data).decode()


def bodies() -> dict[str, dict[str, Any]]:
    """A right body for every route that takes one."""
    common = {"image_url": picture(), "stream": True, "model": "instant", "settings": {"temperature": 0.5}}
    image = {"type": "image_url", "image_url": {"url": picture()}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [image, {"type": "text", "text": "Why?"}]},
    ]
    return {
        "/v1/caption": {**common, "length": "short"},
        "/v1/query": {**common, "question": "Why?", "reasoning": True, "spatial_refs": [[0.1, 0.2]]},
        "/v1/detect": {**common, "object": "dog", "max_objects": 3},
        "/v1/point": {**common, "object": "dog", "spatial_refs": [[0.1, 0.2, 0.3, 0.4]]},
        "/v1/segment": {**common, "object": "dog", "variant": "a@1"},
        "/v1/chat/completions": {
            **{"messages": turns, "stream": True, "stream_options": {"include_usage": True}},
            **{"reasoning": {"effort": "low"}, "response_format": form, "n": 1, "max_tokens": 5},
        },
        "/v1/load": {"model": "instant", "stream": True},
        "/v1/unload": {"model": "none"},
        "/v1/models/switch": {"model": "instant"},
    }


def frames() -> list[dict[str, Any]]:
    """A right frame of every type that a client may send after its greeting."""
    asked = [
        {"type": "request.create", "request_id": "r", "skill": path.rpartition("/")[2], **body}
        for path, body in bodies().items()
        if path.count("/") == 2
    ]
    turn = {"role": "user", "content": [{"type": "image", "image_id": "i"}, {"type": "text", "text": "?"}]}
    gaze = {"type": "request.create", "request_id": "g", "skill": "gaze", "image_id": "i", "eye": [0.5, 0.5]}
    return [
        *asked,
        gaze,
        {"type": "request.create", "request_id": "c", "skill": "chat", "messages": [turn], "tag": {"a": 1}},
        {"type": "image.put", "image_id": "i", "image_url": picture()},
        {"type": "image.drop", "image_id": "i"},
        {"type": "request.cancel", "request_id": "r"},
        {"type": "request.resume", "request_id": "r", "after": 0},
        {"type": "model.load", "model": "instant"},
        {"type": "stats.subscribe", "interval_ms": 0},
        {"type": "hello", "protocol": 1},
    ]


def mutate(right: dict[str, Any], rng: random.Random) -> bytes:
    """The object with one to three things wrong, as bytes that may be no JSON at all."""
    value: Any = json.loads(json.dumps(right))
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _change(value, rng)
    data = json.dumps(value, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
    return rng.choice(_BYTES)(data, rng) if rng.random() < 0.35 else data


def _change(value: Any, rng: random.Random) -> Any:
    """`value` with something in it replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.15:
            return {key: item for key, item in value.items() if key != name}
        if kind < 0.25:
            return {**value, rng.choice(("x", "obj", "image_id", "preset", "uncertainty")): rng.choice(ODD)}
        if kind < 0.35 and name == "image_url":
            return {**value, name: picture(rng.randrange(1, 80))}
        return {**value, name: _change(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        return [*value[:index], _change(value[index], rng), *value[index + 1 :]]
    return rng.choice(ODD)


def _truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _nested(data: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((5, 200, 3000))
    return b'{"question":' * depth + data + b"}" * depth


def _soup(data: bytes, rng: random.Random) -> bytes:
    return bytes(rng.choice(_SOUP) for _ in range(rng.randrange(200)))


def _doubled(data: bytes, rng: random.Random) -> bytes:
    return data + data


_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_truncated, _flipped, _nested, _soup, _doubled)
