"""Parts of a picture drawn large and reduced, for smooth edges without anything but Pillow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from dreamscope.visualizers.geometry import Rect
from dreamscope.visualizers.palette import rgb

OVERSAMPLING = 4
MOST_SAMPLES = 24_000_000
Corners = Sequence[tuple[float, float]]


class Tile:
    """A small transparent drawing over part of the picture, drawn large and reduced: smooth edges cheaply."""

    def __init__(self, area: Rect) -> None:
        self._left, self._top = math.floor(area.x) - 1, math.floor(area.y) - 1
        self._size = (math.ceil(area.right) + 1 - self._left, math.ceil(area.bottom) + 1 - self._top)
        large = (self._size[0] * OVERSAMPLING, self._size[1] * OVERSAMPLING)
        self._image = Image.new("RGBA", large)
        self.draw = ImageDraw.Draw(self._image)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A picture position in the coordinates of `draw`."""
        return (x - self._left) * OVERSAMPLING, (y - self._top) * OVERSAMPLING

    def corners(self, area: Rect) -> tuple[float, float, float, float]:
        """A picture rectangle as Pillow wants it, right and lower edge included."""
        left, top = self.at(area.x, area.y)
        right, bottom = self.at(area.right, area.bottom)
        return left, top, max(left, right - 1), max(top, bottom - 1)

    def paste(self, picture: Image.Image) -> None:
        """Lay the reduced drawing over `picture`."""
        # Premultiplied while reducing, else transparent pixels would darken the rim.
        small = self._image.convert("RGBa").resize(self._size, Image.Resampling.BOX).convert("RGBA")
        picture.paste(small, (self._left, self._top), small)


class Stencil:
    """A shape over part of `picture`, laid down in one colour; large ones are drawn less finely."""

    def __init__(self, picture: Image.Image, area: Rect) -> None:
        left, top = max(0, math.floor(area.x) - 1), max(0, math.floor(area.y) - 1)
        right = min(picture.width, math.ceil(area.right) + 1)
        bottom = min(picture.height, math.ceil(area.bottom) + 1)
        self._picture = picture
        self._corner = (left, top)
        self._size = (max(1, right - left), max(1, bottom - top))
        fine = math.isqrt(MOST_SAMPLES // (self._size[0] * self._size[1]) or 1)
        self._scale = min(OVERSAMPLING, max(1, fine))
        self._shape = Image.new("L", (self._size[0] * self._scale, self._size[1] * self._scale))
        self._draw = ImageDraw.Draw(self._shape)

    def fill(self, polygons: Sequence[Corners]) -> None:
        """Fill closed polygons (picture pixels) by the nonzero rule."""
        crossings: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
        for polygon in polygons:
            corners = [self._at(corner) for corner in polygon]
            for start, end in zip(corners, [*corners[1:], *corners[:1]], strict=True):
                self._cross(crossings, start, end)
        for row, found in crossings.items():
            self._row(row, sorted(found))

    def line(self, corners: Corners, width: float, closed: bool = False) -> None:
        """A line `width` pixels wide along the corners, round where it turns."""
        points = [self._at(corner) for corner in corners]
        thick = max(1, round(width * self._scale))
        self._draw.line(points + points[:2] * closed, fill=255, width=thick, joint="curve")
        for x, y in points[:1] + points[-1:]:
            self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)

    def ellipse(self, area: Rect, width: float | None = None) -> None:
        """An ellipse in `area`: its rim if a `width` is given, else whole."""
        box = (*self._at((area.x, area.y)), *self._at((area.right, area.bottom)))
        if width is None:
            self._draw.ellipse(box, fill=255)
        else:
            self._draw.ellipse(box, outline=255, width=max(1, round(width * self._scale)))

    def paste(self, colour: str, opacity: float = 1.0) -> None:
        """Lay the shape over the picture."""
        small = self._shape.resize(self._size, Image.Resampling.BOX)
        self._picture.paste(rgb(colour), self._corner, small.point(lambda value: round(value * opacity)))

    def _at(self, point: tuple[float, float]) -> tuple[float, float]:
        return (point[0] - self._corner[0]) * self._scale, (point[1] - self._corner[1]) * self._scale

    def _cross(
        self,
        crossings: defaultdict[int, list[tuple[float, int]]],
        start: tuple[float, float],
        end: tuple[float, float],
    ) -> None:
        """Note where the edge crosses the middle of each row, and whether downwards."""
        (x0, y0), (x1, y1), turn = (start, end, 1) if start[1] < end[1] else (end, start, -1)
        for row in range(max(0, math.ceil(y0 - 0.5)), min(self._shape.height, math.ceil(y1 - 0.5))):
            crossings[row].append((x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0), turn))

    def _row(self, row: int, found: list[tuple[float, int]]) -> None:
        turns = 0
        for (x, turn), (following, _) in pairwise(found):
            turns += turn
            first, last = math.ceil(x - 0.5), math.ceil(following - 0.5) - 1
            if turns and last >= first:
                self._draw.line(((first, row), (last, row)), fill=255)
