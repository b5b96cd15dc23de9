"""When two points are the same place: as far as the model itself can tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Dot

STEP = 1 / 1024
"""The model writes a coordinate as one of 1024 steps."""
FEW_STEPS = 2 * STEP
NARROW = 0.1
"""A wider interval says that the model wavers between places, not how finely it sees one."""


def same_place(first: Dot, second: Dot) -> bool:
    """Whether on both axes the points are no farther apart than the model's own 95 % interval reaches to a
    side, or, where that is not known or not `NARROW`, than `FEW_STEPS`.
    """
    known = [spread for spread in (first.spread, second.spread) if spread is not None]
    beside = abs(first.x - second.x) <= _reach([spread.x for spread in known])
    return beside and abs(first.y - second.y) <= _reach([spread.y for spread in known])


def distinct(dots: Sequence[Dot]) -> list[Dot]:
    """One point of each place, the first."""
    kept: list[Dot] = []
    for dot in dots:
        if not any(same_place(dot, other) for other in kept):
            kept.append(dot)
    return kept


def _reach(spreads: Sequence[wire.Spread]) -> float:
    """How far two coordinates may be apart and still be one."""
    widths = [one.i95[1] - one.i95[0] for one in spreads]
    return max([FEW_STEPS, *(width / 2 for width in widths if width <= NARROW)])
