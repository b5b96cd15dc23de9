"""What the two families do differently around the network: token layout and number scale."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conventions:
    """Facts of a model family that training and engine must agree on."""

    name: str
    coord_steps: int  # a coordinate is its bin divided by this
    direct: tuple[int, ...]  # ids between a question and its direct answer
    reasoned: tuple[int, ...]  # ids between a question and the reasoning before its answer
    templates: tuple[str, ...]  # skills whose prompt is prefix, argument, suffix
    rounds_pixels: bool  # whether pixels are normalised in bfloat16


MOONDREAM2 = Conventions("moondream2", 1024, (3, 3), (3, 4), ("query", "detect", "point"), True)
MOONDREAM3 = Conventions("moondream3", 1023, (3,), (4,), ("query", "detect", "point", "segment"), False)
