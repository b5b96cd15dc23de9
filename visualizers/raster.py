"""A result burnt into a picture: the marks of the SVG, drawn with Pillow at the same places and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from dreamscope.engine.wire import Box, BoxSpread, PlaceSpread, Result
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.boxes import EDGE, EDGE_HALO_OPACITY, TICK, tick_length, visible
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.gaze import EYE_RADIUS, RING_RADIUS
from dreamscope.visualizers.geometry import VIEW_WIDTH, Rect, View
from dreamscope.visualizers.labels import CHIP_TEXT, DOT_RADIUS, HALO, TAG_TEXT, Label
from dreamscope.visualizers.marks import BoxMark, GazeMark, Marks, MaskMark, PointMark, marks_of
from dreamscope.visualizers.masks import CORNERS, CORNERS_OPACITY, OPACITY, placed
from dreamscope.visualizers.palette import DARK, Colour, rgb
from dreamscope.visualizers.paths import flattened
from dreamscope.visualizers.points import CORNER, SHADE, SHADE_OPACITY
from dreamscope.visualizers.spreads import BAR, FILL, RIM, bars, ellipses
from dreamscope.visualizers.tile import OVERSAMPLING, Stencil, Tile

BOLD = 1 / 44
"""How much the letters of labels are thickened, as a share of their size."""


def burn_in(
    result: Result,
    image: Image.Image,
    name: str = "",
    family: int = 0,
    *,
    eye: tuple[float, float] | None = None,
    face: Box | None = None,
) -> Image.Image:
    """A new RGB picture of `image` (already oriented) with the marks of `result`.

    `name` is what was looked for; `eye` or `face` whose gaze was asked for. Spreads are drawn if the result
    has them. Transparent parts of the image become white.
    """
    view = View.still(image.size)
    canvas = _Canvas(_opaque(image), view)
    for mark in marks_of(result, Marks(view, Asked(name, family, eye, face))):
        match mark:
            case BoxMark():
                canvas.box(mark)
            case MaskMark():
                canvas.mask(mark)
            case GazeMark():
                canvas.gaze(mark)
            case PointMark():
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
        self._fonts: dict[float, ImageFont.FreeTypeFont] = {}

    def point(self, mark: PointMark) -> None:
        self._spread(mark.spread, mark.colour)
        if mark.label.leader:
            self._leader(mark.label, mark.colour)
        self._disc(mark.label.x * self._step, mark.label.y * self._step, mark.colour)
        self._plate(mark.label, mark.colour, TAG_TEXT)

    def gaze(self, mark: GazeMark) -> None:
        self._spread(mark.spread, mark.colour)
        x, y = self._pixel(mark.x, mark.y)
        if mark.start is not None:
            start = self._pixel(*mark.start)
            self._stroke([start, (x, y)], EDGE, mark.colour)
            if isinstance(mark.source, Box):
                area = self._view.box(mark.source).scaled(self._pixels)
                self._stroke(_corners(area), EDGE, mark.colour, closed=True)
            else:
                self._ring(*start, EYE_RADIUS, mark.colour, inside=True)
        if mark.label.leader:
            self._leader(mark.label, mark.colour)
        self._ring(x, y, RING_RADIUS, mark.colour)
        self._disc(x, y, mark.colour)
        self._plate(mark.label, mark.colour, TAG_TEXT)

    def mask(self, mark: MaskMark) -> None:
        area = visible(self._view.box(mark.box), self._view)
        for line in _ticks(area.scaled(self._pixels), tick_length(area, self._view) * self._pixels):
            self._line(line, CORNERS / 2 + HALO, mark.colour.halo, CORNERS_OPACITY)
            self._line(line, CORNERS / 2, mark.colour.fill, CORNERS_OPACITY)
        place = placed(mark, self._view)
        polygons = [
            [(x * self._pixels, y * self._pixels) for x, y in polygon]
            for polygon in flattened(mark.outline, place)
        ]
        if polygons:
            stencil = Stencil(self.picture, _around(corner for polygon in polygons for corner in polygon))
            stencil.fill(polygons)
            stencil.paste(mark.colour.fill, OPACITY)
        for polygon in polygons:
            self._stroke(polygon, EDGE, mark.colour, closed=True)
        self._spread(mark.spread, mark.colour, mark.box)
        self._plate(mark.label, mark.colour, CHIP_TEXT)

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
        self._spread(mark.spread, mark.colour, mark.box)
        self._plate(mark.label, mark.colour, CHIP_TEXT)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        left, top = self._view.point(x, y)
        return left * self._pixels, top * self._pixels

    def _disc(self, x: float, y: float, colour: Colour) -> None:
        reach = (DOT_RADIUS + HALO + SHADE) * self._step
        tile = Tile(Rect(x - reach, y - reach, 2 * reach, 2 * reach))
        for margin, fill in self._layers(colour):
            radius = (DOT_RADIUS + margin) * self._step
            tile.draw.ellipse(tile.corners(Rect(x, y, 0, 0).grown(radius)), fill)
        tile.paste(self.picture)

    def _ring(self, x: float, y: float, radius: float, colour: Colour, inside: bool = False) -> None:
        """A ring in the colour between two halos; `inside` fills it with the halo."""
        for line, more in ((colour.halo, EDGE / 2 + HALO), (colour.fill, EDGE / 2)):
            area = Rect(x, y, 0, 0).grown((radius + more) * self._step)
            stencil = Stencil(self.picture, area)
            solid = inside and line == colour.halo
            stencil.ellipse(area, None if solid else 2 * more * self._step)
            stencil.paste(line)

    def _stroke(
        self, corners: Sequence[tuple[float, float]], width: float, colour: Colour, closed: bool = False
    ) -> None:
        """A line in the colour inside its halo."""
        for line, more in ((colour.halo, 2 * HALO), (colour.fill, 0.0)):
            wide = (width + more) * self._step
            stencil = Stencil(self.picture, _around(corners).grown(wide))
            stencil.line(corners, wide, closed)
            stencil.paste(line)

    def _spread(self, spread: PlaceSpread | BoxSpread | None, colour: Colour, box: Box | None = None) -> None:
        if spread is None:
            return
        for level, area in ellipses(spread, self._view):
            area = area.scaled(self._pixels)
            for width, opacity in ((None, FILL[level]), (self._step, RIM[level])):
                stencil = Stencil(self.picture, area)
                stencil.ellipse(area, width)
                stencil.paste(colour.fill, opacity)
        if isinstance(spread, BoxSpread) and box is not None:
            for bar in bars(spread, box, self._view):
                for x0, y0, x1, y1 in bar.strokes(self._view):
                    ends = [(x0 * self._pixels, y0 * self._pixels), (x1 * self._pixels, y1 * self._pixels)]
                    self._stroke(ends, BAR[bar.level], colour)

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
        start, area = (label.x * self._step, label.y * self._step), label.area
        end = ((area.x + area.width / 2) * self._step, (area.y + area.height / 2) * self._step)
        for line, width in ((colour.halo, 3.0), (colour.fill, 1.5)):
            stencil = Stencil(self.picture, _around((start, end)).grown(2 * self._step))
            stencil.line([start, end], width * self._step)
            stencil.paste(line)

    def _plate(self, label: Label, colour: Colour, size: float) -> None:
        area = _on_grid(label.area.scaled(self._step))
        tile = Tile(area.grown((HALO + SHADE) * self._step))
        for margin, fill in self._layers(colour):
            plate = tile.corners(area.grown(margin * self._step))
            tile.draw.rounded_rectangle(plate, (CORNER + margin) * self._step * OVERSAMPLING, fill)
        tile.paste(self.picture)
        # Letters are drawn at their own size: reduced from a larger drawing they would blur.
        middle = (area.x + area.width / 2, area.y + area.height / 2)
        pen, font = ImageDraw.Draw(self.picture), self._font(size * self._step)
        pen.text(middle, clean(label.text), rgb(colour.ink), font, "mm", stroke_width=font.size * BOLD)

    def _font(self, size: float) -> ImageFont.FreeTypeFont:
        if size not in self._fonts:
            font = ImageFont.load_default(size)
            assert isinstance(font, ImageFont.FreeTypeFont)
            self._fonts[size] = font
        return self._fonts[size]


def _around(points: Iterable[tuple[float, float]]) -> Rect:
    """The smallest rectangle around all points."""
    xs, ys = zip(*points, strict=True)
    return Rect(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _on_grid(area: Rect) -> Rect:
    """The rectangle moved and sized to whole pixels, so that its edges are sharp."""
    left, top = round(area.x), round(area.y)
    return Rect(left, top, max(1, round(area.width)), max(1, round(area.height)))


def _corners(area: Rect) -> list[tuple[float, float]]:
    return [(area.x, area.y), (area.right, area.y), (area.right, area.bottom), (area.x, area.bottom)]


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
