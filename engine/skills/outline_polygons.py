"""An SVG path as polygons: curves in short straight pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.skills.svgpath import COMMANDS

_WORD = re.compile(r"[A-Za-z]|-?(?:\d+\.?\d*|\.\d+)")
_NUMBERS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2}
_PIECES = 16
"""Straight pieces of one curve."""
_SHARES = np.arange(1, _PIECES + 1) / _PIECES


def polygons(path: str) -> list[NDArray[np.float64]]:
    """The subpaths as corners `[n, 2]` (x, y), in the units of the path; each is closed implicitly.

    As in SVG, a command that lacks numbers ends the drawing, and what precedes it stays. Raises `ValueError`
    for a word that is no command, and for arcs: the path language of the segment skill loses the seventh
    number of an arc.
    """
    pen = _Pen()
    for command, numbers in _groups(path):
        kind = command.upper()
        if command not in COMMANDS or kind == "A":
            raise ValueError(f"A path with the command {command!r} cannot be drawn.")
        if kind == "Z":
            pen.close()
            continue
        if not pen.subpaths and kind != "M":
            break
        step = _NUMBERS[kind]
        for first in range(0, len(numbers) - len(numbers) % step, step):
            repeated = "L" if kind == "M" and first else kind
            pen.draw(repeated, command.islower(), numbers[first : first + step])
        if not numbers or len(numbers) % step:
            break
    corners = [np.array(subpath) for subpath in pen.subpaths if len(subpath) > 2]
    return [np.stack((subpath.real, subpath.imag), 1) for subpath in corners]


def _groups(path: str) -> Iterator[tuple[str, list[float]]]:
    command, numbers = "", list[float]()
    for word in _WORD.findall(path):
        if word.isalpha():
            if command:
                yield command, numbers
            command, numbers = word, []
        else:
            numbers.append(float(word))
    if command:
        yield command, numbers


class _Pen:
    """Draws with complex numbers for places, x + iy."""

    def __init__(self) -> None:
        self.subpaths: list[list[complex]] = []
        self._at = 0j
        self._closed = False
        self._control = 0j  # the last control point of the last curve
        self._curve = ""  # and its kind; empty after a straight piece

    def close(self) -> None:
        """Back to where the subpath began; what follows without a move begins there again."""
        if self.subpaths:
            self._at, self._closed = self.subpaths[-1][0], True
        self._curve = ""

    def draw(self, kind: str, relative: bool, numbers: list[float]) -> None:
        """One segment of a command in upper case, with the numbers that it needs."""
        base = self._at if relative else 0j
        if kind in "HV":
            across = kind == "H"
            x = base.real + numbers[0] if across else self._at.real
            y = self._at.imag if across else base.imag + numbers[0]
            places = [complex(x, y)]
        else:
            places = [base + complex(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        if kind == "M":
            self.subpaths.append([places[0]])
        else:
            if self._closed:
                self.subpaths.append([self._at])
            self.subpaths[-1] += self._curved(kind, places) if kind in "CSQT" else places
        self._closed = False
        self._at = places[-1]
        self._curve = kind if kind in "CSQT" else ""

    def _curved(self, kind: str, places: list[complex]) -> list[complex]:
        start, end = self._at, places[-1]
        cubic = kind in "CS"
        if kind in "ST":  # the first control point mirrors the last one of a curve of the same degree
            like = bool(self._curve) and (self._curve in "CS") == cubic
            places = [2 * start - self._control if like else start, *places]
        self._control = places[-2]
        t = _SHARES
        if cubic:
            first, second = places[:2]
            drawn = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first
            drawn = drawn + 3 * (1 - t) * t**2 * second + t**3 * end
        else:
            drawn = (1 - t) ** 2 * start + 2 * (1 - t) * t * places[0] + t**2 * end
        return [complex(place) for place in drawn]
