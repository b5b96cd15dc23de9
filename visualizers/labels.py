"""Where the label of each mark goes: beside its point or around its box, clear of other labels and edges.

Everything here is in CSS pixels of the displayed image. Placement is greedy and deterministic: candidates
are tried in a fixed order of preference, and a label once placed never moves. So marks that arrive one by
one end up exactly where the finished result puts them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dreamscope.visualizers.geometry import Rect, overlap

DOT_RADIUS = 5.0
HALO = 1.0
TAG_HEIGHT = 16.0
TAG_TEXT = 11.0
CHIP_HEIGHT = 18.0
CHIP_TEXT = 11.5
LONGEST_LABEL = 24

_RINGS = (2.0, 14.0, 28.0, 44.0)
_DIRECTIONS = 16
_NARROW = frozenset("fijlrtI|!.,:;'()[] ")
_WIDE = frozenset("mwMW@%")


@dataclass(frozen=True, slots=True)
class Label:
    """A placed label: `rect` is relative to the anchor (`x`, `y`); `leader` asks for a line between them."""

    text: str
    x: float
    y: float
    rect: Rect
    leader: bool = False

    @property
    def area(self) -> Rect:
        """Where the label lies in the displayed image, CSS pixels."""
        return self.rect.moved(self.x, self.y)


class Placer:
    """Places labels inside `bounds` (the displayed image, CSS pixels), one after the other."""

    def __init__(self, bounds: Rect) -> None:
        self.bounds = bounds
        self._labels: list[Rect] = []
        self._dots: list[Rect] = []

    def beside(self, x: float, y: float, text: str) -> Label:
        """A number tag next to a dot at (`x`, `y`); farther out, with a leader, where it is crowded."""
        self._dots.append(Rect(x - DOT_RADIUS, y - DOT_RADIUS, 2 * DOT_RADIUS, 2 * DOT_RADIUS))
        width = max(TAG_HEIGHT, text_width(text, TAG_TEXT) + 8)
        found = self._first(_around_dot(x, y, width), self._dots)
        area, leader = found or (self._least(_around_dot(x, y, width)), True)
        self._labels.append(area)
        return Label(text, x, y, area.moved(-x, -y), leader)

    def around(self, box: Rect, texts: Sequence[str]) -> Label:
        """A chip at a corner of `box`, outside if there is room; `texts` from the fullest to the shortest."""
        candidates = [(text, *place) for text in texts for place in _outside(box, text)]
        candidates += [(text, *place) for text in texts for place in _within(box, text)]
        for text, corner, area in candidates:
            if self._clear(area, ()):
                return self._chip(text, corner, area)
        shortest = [candidate for candidate in candidates if candidate[0] == texts[-1]]
        area = self._least((area, False) for _, _, area in shortest)
        return self._chip(texts[-1], (box.x, box.y), area)

    def _chip(self, text: str, corner: tuple[float, float], area: Rect) -> Label:
        self._labels.append(area)
        return Label(text, *corner, area.moved(-corner[0], -corner[1]))

    def _first(
        self, candidates: Iterator[tuple[Rect, bool]], avoid: Sequence[Rect]
    ) -> tuple[Rect, bool] | None:
        return next((place for place in candidates if self._clear(place[0], avoid)), None)

    def _clear(self, area: Rect, avoid: Sequence[Rect]) -> bool:
        return area.inside(self.bounds) and not any(
            overlap(area, other) for group in (self._labels, avoid) for other in group
        )

    def _least(self, candidates: Iterator[tuple[Rect, bool]]) -> Rect:
        """The candidate, pushed into the image, that covers the least of other labels; first of equals."""
        areas = [area.kept_in(self.bounds) for area, _ in candidates]
        return min(areas, key=lambda area: sum(overlap(area, other) for other in self._labels))


def shorten(text: str, longest: int = LONGEST_LABEL) -> str:
    """One line of at most `longest` characters, cut with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def text_width(text: str, size: float) -> float:
    """Estimated width of bold UI text of `size` pixels; a little generous, since fonts differ."""
    return size * sum(_advance(character) for character in text)


def _advance(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in _NARROW:
        return 0.36
    return 0.95 if character in _WIDE else 0.64 if not character.isupper() else 0.74


def _around_dot(x: float, y: float, width: float) -> Iterator[tuple[Rect, bool]]:
    """Places for a tag, nearest ring first, each ring starting at the upper right."""
    for gap in _RINGS:
        near = gap == _RINGS[0]
        steps = 8 if near else _DIRECTIONS
        for step in _fan(steps):
            angle = -math.pi / 4 + step * 2 * math.pi / steps
            yield _tag(x, y, width, DOT_RADIUS + HALO + gap, angle), not near


def _fan(steps: int) -> Iterator[int]:
    """0, 1, -1, 2, -2, ...: the preferred direction, then its neighbours on both sides."""
    yield 0
    for step in range(1, steps // 2 + 1):
        yield step
        if step != steps // 2:
            yield -step


def _tag(x: float, y: float, width: float, reach: float, angle: float) -> Rect:
    """A tag whose nearest edge or corner is `reach` away from (`x`, `y`) in direction `angle`."""
    dx, dy = math.cos(angle), math.sin(angle)
    side, up = (0.0 if abs(v) < 0.1 else math.copysign(1.0, v) for v in (dx, dy))
    centre_x = x + dx * reach + side * width / 2
    centre_y = y + dy * reach + up * TAG_HEIGHT / 2
    return Rect(centre_x - width / 2, centre_y - TAG_HEIGHT / 2, width, TAG_HEIGHT)


def _size(text: str) -> tuple[float, float]:
    return max(CHIP_HEIGHT, text_width(text, CHIP_TEXT) + 12), CHIP_HEIGHT


Place = tuple[tuple[float, float], Rect]


def _outside(box: Rect, text: str) -> Iterator[Place]:
    """Above, below, then at the sides of the box, 3 px off its edge, each with the corner it hangs on."""
    width, height = _size(text)
    gap, edge = 3.0, 2.0
    above, below = box.y - gap - height, box.bottom + gap
    left, right = box.x - edge, box.right + edge - width
    yield (box.x, box.y), Rect(left, above, width, height)
    yield (box.right, box.y), Rect(right, above, width, height)
    yield (box.x, box.bottom), Rect(left, below, width, height)
    yield (box.right, box.bottom), Rect(right, below, width, height)
    yield (box.right, box.y), Rect(box.right + gap, box.y - edge, width, height)
    yield (box.x, box.y), Rect(box.x - gap - width, box.y - edge, width, height)
    yield (box.right, box.bottom), Rect(box.right + gap, box.bottom + edge - height, width, height)
    yield (box.x, box.bottom), Rect(box.x - gap - width, box.bottom + edge - height, width, height)


def _within(box: Rect, text: str) -> Iterator[Place]:
    """The four corners inside the box."""
    width, height = _size(text)
    gap = 4.0
    for x, left in ((box.x, box.x + gap), (box.right, box.right - gap - width)):
        for y, top in ((box.y, box.y + gap), (box.bottom, box.bottom - gap - height)):
            yield (x, y), Rect(left, top, width, height)
