"""Which tasks and questions a Sprite is trained on, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Mix:
    """Relative weights; a task or question that is not named is never asked."""

    tasks: Mapping[str, float] = field(
        default_factory=lambda: {"caption": 0.13, "point": 0.20, "detect": 0.17, "query": 0.50}
    )
    queries: Mapping[str, float] = field(
        default_factory=lambda: {
            "count": 6.0,
            "presence": 3.0,
            "colour": 2.0,
            "where": 2.0,
            "beside": 2.5,
            "what_group": 1.0,
            "total": 0.8,
        }
    )
    grounded: float = 0.55  # share of the questions that are answered after grounded reasoning
    wrong_colour: float = 0.0  # share of the coloured objects asked for in a colour that none has


FIRST_MIX = Mix()
"""What the shipped Sprite 2 was trained on."""

SEGMENT_MIX = Mix(
    tasks={"caption": 0.12, "point": 0.17, "detect": 0.15, "segment": 0.14, "query": 0.42},
    queries={**FIRST_MIX.queries, "beside": 3.5, "this": 2.0},
    wrong_colour=0.25,
)
"""Outlines, references to a place, colours that are not there, and more relations."""

OUTLINE_MIX = replace(
    SEGMENT_MIX, tasks={"caption": 0.11, "point": 0.13, "detect": 0.13, "segment": 0.28, "query": 0.35}
)
"""The same with twice the outlines."""
