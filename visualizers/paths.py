"""SVG path data from text that is not trusted: read into numbers, written from numbers.

Whatever is read comes out as absolute lines and cubic curves in closed subpaths, so that it can be scaled
by width and height apart, filled, and drawn without an SVG renderer. Reading stops, as in a browser, at
the first thing that is no path data; what came before it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dreamscope.visualizers.arcs import arc
from dreamscope.visualizers.geometry import number

Pair = tuple[float, float]
Piece = tuple[Pair, ...]
"""Where a line ends, or both controls and the end of a cubic curve."""
Place = Callable[[Pair], Pair]

LARGEST = 16.0
CURVE_STEPS = 12
_ARITY = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
_FLAGS = (3, 4)
_BLANK = re.compile("[ \t\r\n\f,]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FLAG = re.compile("[01]")


@dataclass(frozen=True, slots=True)
class Subpath:
    """A closed line from `start` along `pieces` and straight back."""

    start: Pair
    pieces: tuple[Piece, ...]


Outline = tuple[Subpath, ...]


def parse(text: str) -> Outline:
    """The subpaths of path data in fractions of a box; numbers beyond `LARGEST` are no outline's."""
    pen = _Pen()
    for command, values in _segments(text):
        pen.draw(command, values)
    return pen.outline


def written(outline: Outline, place: Place) -> str:
    """Path data of `outline` with every point moved by `place`."""
    return "".join(_written(outline, place))


def flattened(outline: Outline, place: Place) -> list[list[Pair]]:
    """The corners of each subpath, curves in `CURVE_STEPS` lines, every point moved by `place`."""
    polygons = []
    for subpath in outline:
        corners = [place(subpath.start)]
        for piece in subpath.pieces:
            ends = [place(point) for point in piece]
            corners += ends if len(ends) == 1 else _along(corners[-1], *ends)
        polygons.append(corners)
    return polygons


def _written(outline: Outline, place: Place) -> Iterator[str]:
    for subpath in outline:
        yield f"M{_pair(place(subpath.start))}"
        for piece in subpath.pieces:
            yield ("L" if len(piece) == 1 else "C") + " ".join(_pair(place(point)) for point in piece)
        yield "Z"


def _pair(point: Pair) -> str:
    return f"{number(point[0])} {number(point[1])}"


def _along(start: Pair, first: Pair, second: Pair, end: Pair) -> list[Pair]:
    """Points on a cubic curve after its start."""
    points = []
    for step in range(1, CURVE_STEPS + 1):
        t = step / CURVE_STEPS
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        x, y = (a * p + b * q + c * r + d * s for p, q, r, s in zip(start, first, second, end, strict=True))
        points.append((x, y))
    return points


def _segments(text: str) -> Iterator[tuple[str, tuple[float, ...]]]:
    """A command and its numbers, once for every repetition, up to the first thing that is neither."""
    at, command = _blank(text, 0), ""
    while at < len(text):
        if text[at].upper() in _ARITY and (command or text[at] in "Mm"):
            command = text[at]
            at = _blank(text, at + 1)
        elif command in ("", "Z", "z"):
            return
        values = []
        for nth in range(_ARITY[command.upper()]):
            kind = _FLAG if command in "Aa" and nth in _FLAGS else _NUMBER
            found = kind.match(text, at)
            if found is None or abs(float(found[0])) > LARGEST * (360 if command in "Aa" and nth == 2 else 1):
                return
            values.append(float(found[0]))
            at = _blank(text, found.end())
        yield command, tuple(values)
        command = {"M": "L", "m": "l"}.get(command, command)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


class _Pen:
    """Follows the commands. The control point of a curve counts for a smooth curve right after it."""

    def __init__(self) -> None:
        self._done: list[Subpath] = []
        self._pieces: list[Piece] = []
        self._at: Pair = (0.0, 0.0)
        self._start: Pair = (0.0, 0.0)
        self._control: Pair | None = None
        self._last = ""

    @property
    def outline(self) -> Outline:
        """The subpaths so far, the open one among them."""
        return (*self._done, Subpath(self._start, tuple(self._pieces))) if self._pieces else tuple(self._done)

    def draw(self, command: str, values: tuple[float, ...]) -> None:
        """Apply one segment."""
        name = command.upper()
        left, top = self._at if command.islower() else (0.0, 0.0)
        if name == "Z":
            self._move(self._start)
        elif name == "H":
            self._add((values[0] + left, self._at[1]))
        elif name == "V":
            self._add((self._at[0], values[0] + top))
        elif name == "A":
            for curve in arc(self._at, values[:5], (values[5] + left, values[6] + top)):
                self._add(*curve)
        else:
            pairs = zip(values[::2], values[1::2], strict=True)
            self._pairs(name, [(x + left, y + top) for x, y in pairs])
        self._last = name

    def _pairs(self, name: str, pairs: list[Pair]) -> None:
        match name:
            case "M":
                self._move(pairs[0])
            case "Q" | "T":
                control = pairs[0] if name == "Q" else self._mirrored("QT")
                first, second = _toward(self._at, control), _toward(pairs[-1], control)
                self._add(first, second, pairs[-1])
                self._control = control
            case "C" | "S":
                first = pairs[0] if name == "C" else self._mirrored("CS")
                self._add(first, pairs[-2], pairs[-1])
                self._control = pairs[-2]
            case _:
                self._add(pairs[0])

    def _add(self, *piece: Pair) -> None:
        self._pieces.append(piece)
        self._at = piece[-1]

    def _move(self, to: Pair) -> None:
        self._done = list(self.outline)
        self._pieces = []
        self._at = self._start = to

    def _mirrored(self, curves: str) -> Pair:
        """The control point that continues the curve before; the current point if that is of another kind."""
        if self._control is None or self._last not in curves or not self._last:
            return self._at
        return 2 * self._at[0] - self._control[0], 2 * self._at[1] - self._control[1]


def _toward(end: Pair, control: Pair) -> Pair:
    """Control of the cubic curve that equals a quadratic one, at this end."""
    return end[0] + 2 / 3 * (control[0] - end[0]), end[1] + 2 / 3 * (control[1] - end[1])
