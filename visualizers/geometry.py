"""From fractions of the image to drawing units, and the rectangle arithmetic of label placement.

Results stay fractions in 0..1 everywhere else. A drawing is 1000 units wide and as high as the image asks;
`unit` is the size of one CSS pixel (or one raster step) in those units, so that marks keep their size on
screen whatever the image measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dreamscope.engine.wire import Box

VIEW_WIDTH = 1000.0


@dataclass(frozen=True, slots=True)
class Rect:
    """An axis-aligned rectangle, y down."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """y of the lower edge."""
        return self.y + self.height

    def moved(self, dx: float, dy: float) -> Rect:
        """The same rectangle shifted."""
        return Rect(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, margin: float) -> Rect:
        """The same rectangle with `margin` added on every side."""
        return Rect(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def scaled(self, factor: float) -> Rect:
        """Position and size multiplied by `factor`."""
        return Rect(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def inside(self, outer: Rect) -> bool:
        """Whether this lies wholly within `outer`, to rounding."""
        slack = 1e-6
        return (
            self.x >= outer.x - slack
            and self.y >= outer.y - slack
            and self.right <= outer.right + slack
            and self.bottom <= outer.bottom + slack
        )

    def kept_in(self, outer: Rect) -> Rect:
        """Shifted the least so that it lies within `outer`; centred along an axis it is too long for."""
        return Rect(
            _kept(self.x, self.width, outer.x, outer.width),
            _kept(self.y, self.height, outer.y, outer.height),
            self.width,
            self.height,
        )


@dataclass(frozen=True, slots=True)
class View:
    """The drawing surface of one image of `width` x `height` pixels; `unit` = view units per CSS pixel."""

    width: int
    height: int
    unit: float

    @classmethod
    def shown(cls, size: tuple[int, int] | None, display_width: float) -> View:
        """A view for an image displayed `display_width` CSS pixels wide; without an image, a square one."""
        width, height = size or (1, 1)
        return cls(width, height, VIEW_WIDTH / max(display_width, 1.0))

    @classmethod
    def still(cls, size: tuple[int, int]) -> View:
        """A view for a file: one mark pixel is one image pixel, or more on large images."""
        width, height = size
        return cls(width, height, VIEW_WIDTH / max(width, 1) * max(1.0, math.sqrt(width * height) / 900))

    @property
    def bounds(self) -> Rect:
        """The whole surface, in view units."""
        return Rect(0.0, 0.0, VIEW_WIDTH, VIEW_WIDTH * self.height / max(self.width, 1))

    @property
    def view_box(self) -> str:
        """Value of the `viewBox` attribute."""
        return f"0 0 {number(VIEW_WIDTH)} {number(self.bounds.height)}"

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place given as fractions, clamped to the image, in view units."""
        return clamp(x) * VIEW_WIDTH, clamp(y) * self.bounds.height

    def box(self, box: Box) -> Rect:
        """A box given as fractions, clamped to the image, in view units."""
        left, right = sorted((clamp(box.x_min), clamp(box.x_max)))
        top, bottom = sorted((clamp(box.y_min), clamp(box.y_max)))
        high = self.bounds.height
        return Rect(left * VIEW_WIDTH, top * high, (right - left) * VIEW_WIDTH, (bottom - top) * high)


def clamp(value: float) -> float:
    """`value` limited to 0..1, for drawing only."""
    return min(1.0, max(0.0, value))


def number(value: float) -> str:
    """A coordinate with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def overlap(first: Rect, second: Rect) -> float:
    """Area shared by two rectangles."""
    width = min(first.right, second.right) - max(first.x, second.x)
    height = min(first.bottom, second.bottom) - max(first.y, second.y)
    return width * height if width > 0 and height > 0 else 0.0


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0..1; two empty boxes give 0."""
    a, b = (
        Rect(box.x_min, box.y_min, box.x_max - box.x_min, box.y_max - box.y_min) for box in (first, second)
    )
    shared = overlap(a, b)
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0 else 0.0


def _kept(start: float, length: float, outer_start: float, outer_length: float) -> float:
    if length > outer_length:
        return outer_start + (outer_length - length) / 2
    return min(max(start, outer_start), outer_start + outer_length - length)
