"""Values from an endpoint's JSON, each checked before it goes anywhere. Nothing it sends is trusted.

All of it raises `BadAnswer`, which says what was wrong and does not quote it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeGuard

from dreamscope.engine import wire

MOST_OBJECTS = 10_000
LONGEST_PATH = 1_000_000
_PATH = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9eE+\-., \t\r\n]*")
_COUNTS = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens")
_TIMES = ("queue_time_ms", "image_time_ms", "prefill_time_ms", "decode_time_ms")


class BadAnswer(ValueError):
    """The endpoint sent something that the protocol does not allow; the text ends a sentence about it."""


def parse_object(text: str) -> dict[str, Any]:
    """JSON without NaN and infinity, and an object."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadAnswer("it is not JSON") from None
    if not isinstance(value, dict):
        raise BadAnswer("it is not a JSON object")
    return value


def text_of(value: Any, name: str) -> str:
    """A string; halves of surrogate pairs, which nothing can store, become question marks."""
    if not isinstance(value, str):
        raise BadAnswer(f"{name} is not a string")
    return value.encode("utf-8", "replace").decode()


def short_text(value: Any, longest: int = 200) -> str:
    """A string as a name or a sentence, cut and without control characters; empty for anything else."""
    if not isinstance(value, str):
        return ""
    kept = "".join(char if char.isprintable() else " " for char in value[: longest * 2])
    return " ".join(kept.split())[:longest]


def fraction(value: Any, name: str) -> float:
    """A number, moved into 0..1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise BadAnswer(f"{name} is not a number")
    return float(min(1.0, max(0.0, value)))


def pair(value: Any, name: str) -> tuple[float, float]:
    """`[x, y]`."""
    if not isinstance(value, list) or len(value) != 2:
        raise BadAnswer(f"{name} is not [x, y]")
    return fraction(value[0], name), fraction(value[1], name)


def point(value: Any) -> wire.Point:
    """`{"x", "y"}`."""
    value = _object(value, "a point")
    return wire.Point(fraction(value.get("x"), "x"), fraction(value.get("y"), "y"))


def box(value: Any) -> wire.Box:
    """`{"x_min", "y_min", "x_max", "y_max"}`."""
    value = _object(value, "a box")
    sides = (fraction(value.get(name), name) for name in ("x_min", "y_min", "x_max", "y_max"))
    x_min, y_min, x_max, y_max = sides
    if x_min > x_max or y_min > y_max:
        raise BadAnswer("a box is inside out")
    return wire.Box(x_min, y_min, x_max, y_max)


def listed(value: Any, name: str) -> list[Any]:
    """A list that is not absurdly long."""
    if not isinstance(value, list) or len(value) > MOST_OBJECTS:
        raise BadAnswer(f"{name} is not a list of at most {MOST_OBJECTS:,}")
    return value


def path_of(value: Any) -> str:
    """SVG path data: commands and numbers, nothing else."""
    text = text_of(value, "path")
    if len(text) > LONGEST_PATH or not _PATH.fullmatch(text):
        raise BadAnswer("path is no SVG path")
    return text


def grounds(value: Any, length: int) -> tuple[wire.Ground, ...]:
    """The spans that lie in a reasoning of `length` code points, in its order; others are left out."""
    found: list[wire.Ground] = []
    for item in listed([] if value is None else value, "grounding"):
        item = _object(item, "a span")
        start, end = item.get("start_idx"), item.get("end_idx")
        points = tuple(pair(each, "a point of a span") for each in listed(item.get("points"), "points"))
        after = found[-1].end_idx if found else 0
        if points and is_count(start) and is_count(end) and after <= start <= end <= length:
            found.append(wire.Ground(start, end, points))
    return tuple(found)


def finish_reason(value: Any) -> str:
    """`length` if it says so, else `stop`."""
    return "length" if value == "length" else "stop"


def metrics_of(value: Any) -> wire.Metrics:
    """The counts and times of a `metrics` object; what is no count and no time is left out."""
    known = value if isinstance(value, dict) else {}
    told: dict[str, Any] = {name: known[name] for name in _COUNTS if is_count(known.get(name))}
    told |= {name: float(known[name]) for name in _TIMES if _is_time(known.get(name))}
    return wire.Metrics(**told)


def is_count(value: Any) -> TypeGuard[int]:
    """Whether it can be a number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_time(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value <= 1e12


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer(f"{name} is not an object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
