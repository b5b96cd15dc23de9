"""What a request asked for, as far as it shows beside the result."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.wire import Box


@dataclass(frozen=True, slots=True)
class Asked:
    """`name` is what was looked for and `family` the index of its colour; `eye` (x, y) or `face` whose gaze
    was asked for, fractions; `format` the type of the request's `response_format`.
    """

    name: str = ""
    family: int = 0
    eye: tuple[float, float] | None = None
    face: Box | None = None
    format: str = "text"
