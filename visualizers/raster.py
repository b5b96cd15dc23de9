"""A result burnt into a picture: the marks of the SVG, drawn with Pillow at the same places and sizes."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from dreamscope.engine.wire import Result
from dreamscope.visualizers.boxes import EDGE, EDGE_HALO_OPACITY, TICK, tick_length, visible
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.geometry import VIEW_WIDTH, Rect, View
from dreamscope.visualizers.labels import CHIP_TEXT, DOT_RADIUS, HALO, TAG_TEXT, Label
from dreamscope.visualizers.marks import BoxMark, Marks, PointMark, marks_of
from dreamscope.visualizers.palette import DARK, Colour, rgb
from dreamscope.visualizers.points import CORNER, SHADE, SHADE_OPACITY

OVERSAMPLING = 4


def burn_in(result: Result, image: Image.Image, name: str = "", family: int = 0) -> Image.Image:
    """A new RGB picture of `image` (already oriented) with the marks of `result`.

    `name` is what point and detect looked for. Transparent parts of the image become white.
    """
    view = View.still(image.size)
    canvas = _Canvas(_opaque(image), view)
    for mark in marks_of(result, Marks(view, name, family)):
        if isinstance(mark, BoxMark):
            canvas.box(mark)
        elif isinstance(mark, PointMark):
            canvas.point(mark)
    return canvas.picture


def _opaque(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


class _Canvas:
    """Draws marks on `picture`. `step` is the size of one mark pixel in picture pixels."""

    def __init__(self, picture: Image.Image, view: View) -> None:
        self.picture = picture
        self._view = view
        self._pixels = view.width / VIEW_WIDTH
        self._step = view.unit * self._pixels
        self._fonts: dict[float, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}

    def point(self, mark: PointMark) -> None:
        x, y = mark.label.x * self._step, mark.label.y * self._step
        if mark.label.leader:
            self._leader(mark.label, mark.colour)
        reach = (DOT_RADIUS + HALO + SHADE) * self._step
        tile = _Tile(Rect(x - reach, y - reach, 2 * reach, 2 * reach))
        for margin, fill in self._layers(mark.colour):
            radius = (DOT_RADIUS + margin) * self._step
            tile.draw.ellipse(tile.corners(Rect(x, y, 0, 0).grown(radius)), fill)
        tile.paste(self.picture)
        self._plate(mark.label, mark.colour, TAG_TEXT)

    def box(self, mark: BoxMark) -> None:
        area = visible(self._view.box(mark.box), self._view)
        length = tick_length(area, self._view) * self._pixels
        area = area.scaled(self._pixels)
        for colour, grow, opacity in (
            (mark.colour.halo, HALO, EDGE_HALO_OPACITY),
            (mark.colour.fill, 0.0, 1.0),
        ):
            for line in _edges(area):
                self._line(line, EDGE / 2 + grow, colour, opacity)
            for line in _ticks(area, length):
                self._line(line, TICK / 2 + grow, colour)
        self._plate(mark.label, mark.colour, CHIP_TEXT)

    def _layers(self, colour: Colour) -> tuple[tuple[float, tuple[int, int, int, int]], ...]:
        """Rim, halo and fill of a solid mark, outermost first: margin in mark pixels and RGBA."""
        return (
            (HALO + SHADE, (*rgb(DARK), round(255 * SHADE_OPACITY))),
            (HALO, (*rgb(colour.halo), 255)),
            (0.0, (*rgb(colour.fill), 255)),
        )

    def _line(self, line: Rect, half: float, colour: str, opacity: float = 1.0) -> None:
        """A horizontal or vertical line (a flat rectangle), thickened by `half` on every side."""
        reach = half * self._step
        left, top = round(line.x - reach), round(line.y - reach)
        size = (max(1, round(line.width + 2 * reach)), max(1, round(line.height + 2 * reach)))
        self.picture.paste(rgb(colour), (left, top), Image.new("L", size, round(255 * opacity)))

    def _leader(self, label: Label, colour: Colour) -> None:
        start = (label.x * self._step, label.y * self._step)
        area = label.area
        end = ((area.x + area.width / 2) * self._step, (area.y + area.height / 2) * self._step)
        left, right = sorted((start[0], end[0]))
        top, bottom = sorted((start[1], end[1]))
        tile = _Tile(Rect(left, top, right - left, bottom - top).grown(2 * self._step))
        for fill, width in ((colour.halo, 3.0), (colour.fill, 1.5)):
            ends = [tile.at(*start), tile.at(*end)]
            tile.draw.line(ends, rgb(fill), max(1, round(width * self._step * OVERSAMPLING)))
        tile.paste(self.picture)

    def _plate(self, label: Label, colour: Colour, size: float) -> None:
        area = label.area.scaled(self._step)
        tile = _Tile(area.grown((HALO + SHADE) * self._step))
        for margin, fill in self._layers(colour):
            plate = tile.corners(area.grown(margin * self._step))
            tile.draw.rounded_rectangle(plate, (CORNER + margin) * self._step * OVERSAMPLING, fill)
        middle = tile.at(area.x + area.width / 2, area.y + area.height / 2)
        font = self._font(size * self._step * OVERSAMPLING)
        weight = round(size * self._step * OVERSAMPLING / 28)
        tile.draw.text(middle, clean(label.text), rgb(colour.ink), font, anchor="mm", stroke_width=weight)
        tile.paste(self.picture)

    def _font(self, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size)
        return self._fonts[size]


class _Tile:
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


def _edges(area: Rect) -> tuple[Rect, ...]:
    return (
        Rect(area.x, area.y, area.width, 0),
        Rect(area.x, area.bottom, area.width, 0),
        Rect(area.x, area.y, 0, area.height),
        Rect(area.right, area.y, 0, area.height),
    )


def _ticks(area: Rect, length: float) -> tuple[Rect, ...]:
    lines = []
    for x, left in ((area.x, area.x), (area.right, area.right - length)):
        for y, top in ((area.y, area.y), (area.bottom, area.bottom - length)):
            lines += [Rect(left, y, length, 0), Rect(x, top, 0, length)]
    return tuple(lines)
