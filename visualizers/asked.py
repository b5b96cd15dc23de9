"""What a request asked for, as far as it shows beside the result."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.wire import Box


@dataclass(frozen=True, slots=True)
class Asked:
    """`name` is what was looked for and `family` the index of its colour; `eye` (x, y) or `face` whose gaze
    was asked for, fractions; `format` the type of the request's `response_format`; `part` counts the
    requests of one run from 0.
    """

    name: str = ""
    family: int = 0
    eye: tuple[float, float] | None = None
    face: Box | None = None
    format: str = "text"
    part: int = 0

    @property
    def prefix(self) -> str:
        """What the ids of this part begin with, so that those of several parts differ: the first has none."""
        return f"{self.part}." if self.part else ""
