"""The path language of the segment skill: one-letter commands, whole numbers, and a minus as its own token.

Every token is decoded by itself. A command opens a group; the numbers up to the next command belong to it,
two by two, and an odd last one is dropped. One unit is 1/960 of the box, so a path is written in fractions
of the box with three decimals: `M 0 480 L 960 0` becomes `M 0 0.5 L 1 0`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dreamscope.engine.results import Box, Point

VIEW_BOX = 960
COMMANDS = frozenset("MmLlHhVvCcSsQqTtAaZz")
_PAIRS = {"S": 2, "Q": 2, "C": 3, "A": 3, "M": 1, "L": 1, "T": 1}  # H, V, Z have no whole pair


class PathSyntaxError(ValueError):
    """The tokens are not a path."""


@dataclass(slots=True)
class Group:
    """A command and its pairs, in units of the view box."""

    command: str
    pairs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """How many pairs make one segment of this command; more of them repeat it."""
        return _PAIRS.get(self.command.upper(), 0)


class PathReader:
    """Reads tokens one by one; `push` and `finish` give pieces that add up to the whole path."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.error: str | None = None
        """What is wrong with the tokens; after the first error the rest is not read."""
        self._negative = False
        self._odd: int | None = None
        self._written = 0  # pairs of the last group that were handed out
        self._announced = False  # whether its command was
        self._empty = True  # whether nothing at all was

    @property
    def path(self) -> str:
        """The path so far, empty after an error."""
        if self.error is not None:
            return ""
        words = [word for group in self.groups for word in (group.command, *map(_pair, group.pairs))]
        return " ".join(words)

    def push(self, token: str) -> str:
        """Add a decoded token without white space around it; the segments that it completes, often none."""
        if self.error is not None:
            return ""
        try:
            return self._read(token)
        except ValueError as error:
            self.error = str(error)
            return ""

    def finish(self) -> str:
        """End the path; what was held back of its last group."""
        if self._negative and self.error is None:
            self.error = _unexpected("-")
        return "" if self.error is not None else self._write(whole=False)

    def _read(self, token: str) -> str:
        if token in COMMANDS:
            if self._negative:
                raise PathSyntaxError(_unexpected("-"))
            rest = self._write(whole=False)
            self.groups.append(Group(token))
            self._odd, self._written, self._announced = None, 0, False
            return rest + self._write()
        if not self.groups:
            raise PathSyntaxError(_unexpected(token))
        if token == "-" and not self._negative:
            self._negative = True
            return ""
        value = -int(token) if self._negative else int(token)
        self._negative = False
        if self._odd is None:
            self._odd = value
            return ""
        self.groups[-1].pairs.append((self._odd, value))
        self._odd = None
        return self._write()

    def _write(self, whole: bool = True) -> str:
        """The unwritten end of the last group; with `whole`, only as far as its segments are complete."""
        if not self.groups:
            return ""
        group = self.groups[-1]
        ready = len(group.pairs)
        if whole and group.step:
            ready -= ready % group.step
            if not ready:
                return ""
        words = [] if self._announced else [group.command]
        words += map(_pair, group.pairs[self._written : ready])
        self._announced, self._written = True, max(ready, self._written)
        if not words:
            return ""
        piece = " ".join(words) if self._empty else " " + " ".join(words)
        self._empty = False
        return piece


def read_path(tokens: list[str]) -> PathReader:
    """A finished reader of these tokens."""
    reader = PathReader()
    for token in tokens:
        reader.push(token)
    reader.finish()
    return reader


def box_of(coords: list[float], sizes: list[tuple[float, float]]) -> Box | None:
    """The box that the first two coordinates and the first size describe, inside the image.

    `None` before all of them are there.
    """
    if len(coords) < 2 or not sizes:
        return None
    (x, y), (w, h) = map(_inside, coords[:2]), map(_inside, sizes[0])
    return Box(max(x - w / 2, 0.0), max(y - h / 2, 0.0), min(x + w / 2, 1.0), min(y + h / 2, 1.0))


def points_of(coords: list[float]) -> list[Point]:
    """Coordinates two by two, inside the image; an odd last one is dropped."""
    return [Point(_inside(x), _inside(y)) for x, y in zip(coords[::2], coords[1::2], strict=False)]


def _inside(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _pair(pair: tuple[int, int]) -> str:
    return f"{_fraction(pair[0])} {_fraction(pair[1])}"


def _fraction(value: int) -> str:
    return f"{value / VIEW_BOX:.3f}".rstrip("0").rstrip(".")


def _unexpected(token: str) -> str:
    return f"Unexpected SVG token {token!r}"
