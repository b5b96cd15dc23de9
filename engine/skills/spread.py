"""The spreads of single numbers put together, as events and results carry them.

Either every number of a request has a spread or none has. Spreads are those of the numbers as they were
decoded; that a box ends at the edge of the image does not change them.
"""

from __future__ import annotations

from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.results import BoxSpread, PlaceSpread


def place_spread(x: Coord, y: Coord) -> PlaceSpread | None:
    """The spread of a place, if its numbers have one."""
    if x.spread is None or y.spread is None:
        return None
    return PlaceSpread(x.spread, y.spread)


def box_spread(x: Coord, y: Coord, size: Size) -> BoxSpread | None:
    """The spread of a box by its centre and size, if they have one."""
    if x.spread is None or y.spread is None or size.spreads is None:
        return None
    return BoxSpread(x.spread, y.spread, *size.spreads)
