"""The marks of a result: what is drawn where, in which colour, under which number.

One list serves SVG and PNG, streaming and still, so they cannot disagree. A mark's `ground` is the id it
shares with the words or the list entry that speak of it; its `key` is its own; its `name` is what was looked
for, empty if that has no name. Both ids begin with the prefix of their part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    ChatResult,
    DetectResult,
    GazeResult,
    Ground,
    PlaceSpread,
    Point,
    PointResult,
    QueryResult,
    Result,
    SegmentResult,
)
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.labels import Label, Placer, shorten
from dreamscope.visualizers.palette import Colour, colour
from dreamscope.visualizers.paths import Outline, parse

MASK = "m0"
GAZE = "z0"


@dataclass(frozen=True, slots=True)
class PointMark:
    """A numbered disc at fractions (`x`, `y`)."""

    ground: str
    key: str
    number: int
    colour: Colour
    x: float
    y: float
    label: Label
    spread: PlaceSpread | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class CentreMark:
    """The centre of a box whose size is still to come."""

    ground: str
    key: str
    colour: Colour
    x: float
    y: float
    spread: PlaceSpread | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class BoxMark:
    """A labelled box, fractions."""

    ground: str
    key: str
    number: int
    colour: Colour
    box: Box
    label: Label
    name: str = ""

    @property
    def spread(self) -> BoxSpread | None:
        """How sure its numbers are, if that is known."""
        return self.box.spread


@dataclass(frozen=True, slots=True)
class MaskMark:
    """The outline of an object, in fractions of its box; empty while there is none."""

    ground: str
    key: str
    colour: Colour
    box: Box
    outline: Outline
    label: Label
    name: str = ""

    @property
    def spread(self) -> BoxSpread | None:
        """How sure the numbers of its box are, if that is known."""
        return self.box.spread


@dataclass(frozen=True, slots=True)
class GazeMark:
    """Where somebody looks, fractions, and from where if that was given: an eye or a face."""

    ground: str
    key: str
    colour: Colour
    x: float
    y: float
    source: tuple[float, float] | Box | None
    label: Label
    spread: PlaceSpread | None = None
    name: str = ""

    @property
    def start(self) -> tuple[float, float] | None:
        """Where the line to the target begins: the eye, or the middle of the face."""
        if isinstance(self.source, Box):
            return (self.source.x_min + self.source.x_max) / 2, (self.source.y_min + self.source.y_max) / 2
        return self.source


Mark = PointMark | CentreMark | BoxMark | MaskMark | GazeMark


class Marks:
    """Makes the marks of one result in decode order."""

    def __init__(self, view: View, asked: Asked) -> None:
        self.view = view
        self._asked = asked
        self._name = shorten(asked.name)
        self._colour = colour(asked.family)
        self._placer = Placer(view.bounds.scaled(1 / view.unit))

    def grounded(
        self, span: int, nth: int, x: float, y: float, spread: PlaceSpread | None = None
    ) -> PointMark:
        """Point `nth` of grounded span `span`, both counted from 0; a span has one colour and number."""
        ground = f"{self._asked.prefix}g{span}"
        tag = self._tag(x, y, str(span + 1))
        return PointMark(ground, f"{ground}.{nth}", span + 1, colour(span), x, y, tag, spread)

    def point(self, index: int, point: Point) -> PointMark:
        """Point `index` of the point skill."""
        x, y, key = point.x, point.y, f"{self._asked.prefix}p{index}"
        label = self._tag(x, y, str(index + 1))
        return PointMark(key, key, index + 1, self._colour, x, y, label, point.spread, self._asked.name)

    def centre(self, index: int, x: float, y: float, spread: PlaceSpread | None = None) -> CentreMark:
        """Where box `index` will be."""
        key = f"{self._asked.prefix}b{index}"
        return CentreMark(key, key, self._colour, x, y, spread, self._asked.name)

    def box(self, index: int, box: Box) -> BoxMark:
        """Box `index` of the detect skill."""
        key, number = f"{self._asked.prefix}b{index}", str(index + 1)
        label = self._chip(box, (f"{self._name} {number}", number) if self._name else (number,))
        return BoxMark(key, key, index + 1, self._colour, box, label, self._asked.name)

    def mask(self, box: Box, path: str) -> MaskMark:
        """The outline of the segment skill, from what may be the beginning of its path."""
        key, label = f"{self._asked.prefix}{MASK}", self._chip(box, (self._name or "outline", "1"))
        return MaskMark(key, key, self._colour, box, parse(path), label, self._asked.name)

    def gaze(self, target: Point) -> GazeMark:
        """The target of the gaze skill."""
        x, y, key = target.x, target.y, f"{self._asked.prefix}{GAZE}"
        source = self._asked.eye or self._asked.face
        label = self._tag(x, y, "gaze")
        return GazeMark(key, key, self._colour, x, y, source, label, target.spread, self._asked.name)

    def _tag(self, x: float, y: float, text: str) -> Label:
        left, top = self.view.point(x, y)
        return self._placer.beside(left / self.view.unit, top / self.view.unit, text)

    def _chip(self, box: Box, texts: Sequence[str]) -> Label:
        return self._placer.around(self.view.box(box).scaled(1 / self.view.unit), texts)


def marks_of(result: Result, marks: Marks) -> list[Mark]:
    """All marks of a finished result; an answer without places has none. `marks` must be fresh."""
    return list(_marks(result, marks))


def _marks(result: Result, marks: Marks) -> Iterable[Mark]:
    match result:
        case QueryResult(reasoning=known) | ChatResult(reasoning=known) if known is not None:
            for span, ground in enumerate(known.grounding):
                for nth, ((x, y), spread) in enumerate(places(ground)):
                    yield marks.grounded(span, nth, x, y, spread)
        case PointResult(points=points):
            for index, point in enumerate(points):
                yield marks.point(index, point)
        case DetectResult(objects=boxes):
            for index, box in enumerate(boxes):
                yield marks.box(index, box)
        case SegmentResult(path=path, bbox=Box() as box):
            yield marks.mask(box, path)
        case GazeResult(gaze=Point() as target):
            yield marks.gaze(target)


def places(ground: Ground) -> Iterator[tuple[tuple[float, float], PlaceSpread | None]]:
    """The points of a grounded span, each with its spread if there is one."""
    spreads = ground.spreads or ()
    for nth, point in enumerate(ground.points):
        yield point, spreads[nth] if nth < len(spreads) else None
