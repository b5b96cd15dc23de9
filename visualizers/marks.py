"""The marks of a result: what is drawn where, in which colour, under which number.

One list serves SVG and PNG, streaming and still, so they cannot disagree. A mark's `ground` is the id it
shares with the words or the list entry that speak of it; its `key` is its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dreamscope.engine.wire import Box, DetectResult, PointResult, QueryResult, Result
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.labels import Label, Placer, shorten
from dreamscope.visualizers.palette import Colour, colour


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


@dataclass(frozen=True, slots=True)
class CentreMark:
    """The centre of a box whose size is still to come."""

    ground: str
    key: str
    colour: Colour
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class BoxMark:
    """A labelled box, fractions."""

    ground: str
    key: str
    number: int
    colour: Colour
    box: Box
    label: Label


Mark = PointMark | CentreMark | BoxMark


class Marks:
    """Makes the marks of one result in decode order. `name` is what was looked for, `family` its colour."""

    def __init__(self, view: View, name: str = "", family: int = 0) -> None:
        self.view = view
        self._name = shorten(name)
        self._colour = colour(family)
        self._placer = Placer(view.bounds.scaled(1 / view.unit))

    def grounded(self, span: int, nth: int, x: float, y: float) -> PointMark:
        """Point `nth` of grounded span `span`, both counted from 0; a span has one colour and number."""
        return self._point(f"g{span}", f"g{span}.{nth}", span + 1, colour(span), x, y)

    def point(self, index: int, x: float, y: float) -> PointMark:
        """Point `index` of the point skill."""
        return self._point(f"p{index}", f"p{index}", index + 1, self._colour, x, y)

    def centre(self, index: int, x: float, y: float) -> CentreMark:
        """Where box `index` will be."""
        return CentreMark(f"b{index}", f"b{index}", self._colour, x, y)

    def box(self, index: int, box: Box) -> BoxMark:
        """Box `index` of the detect skill."""
        number = str(index + 1)
        texts = (f"{self._name} {number}", number) if self._name else (number,)
        label = self._placer.around(self.view.box(box).scaled(1 / self.view.unit), texts)
        return BoxMark(f"b{index}", f"b{index}", index + 1, self._colour, box, label)

    def _point(self, ground: str, key: str, number: int, tint: Colour, x: float, y: float) -> PointMark:
        left, top = self.view.point(x, y)
        label = self._placer.beside(left / self.view.unit, top / self.view.unit, str(number))
        return PointMark(ground, key, number, tint, x, y, label)


def marks_of(result: Result, marks: Marks) -> list[Mark]:
    """All marks of a finished result; an answer without places has none. `marks` must be fresh."""
    return list(_marks(result, marks))


def _marks(result: Result, marks: Marks) -> Iterable[Mark]:
    if isinstance(result, QueryResult) and result.reasoning is not None:
        for span, ground in enumerate(result.reasoning.grounding):
            for nth, (x, y) in enumerate(ground.points):
                yield marks.grounded(span, nth, x, y)
    elif isinstance(result, PointResult):
        for index, point in enumerate(result.points):
            yield marks.point(index, point.x, point.y)
    elif isinstance(result, DetectResult):
        for index, box in enumerate(result.objects):
            yield marks.box(index, box)
