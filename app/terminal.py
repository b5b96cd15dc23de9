"""A run as text that grows in a terminal: grounded words underlined, their places behind them."""

from __future__ import annotations

from typing import TextIO

from dreamscope.engine import wire
from dreamscope.visualizers.escape import clean

_DIM, _BOLD, _UNDERLINE, _NOT_UNDERLINED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[4m", "\x1b[24m", "\x1b[0m"


class Terminal:
    """Writes the events of one request to `stream`; `ansi` turns styles on. Model text loses its control
    characters, so that it cannot drive the terminal."""

    def __init__(self, stream: TextIO, ansi: bool) -> None:
        self._stream = stream
        self._ansi = ansi
        self._part = ""  # reasoning, answer or list: what the last written event belonged to
        self._found = 0

    def feed(self, event: wire.Message) -> None:
        """Write what one event adds."""
        match event:
            case wire.ReasoningDelta(delta=delta):
                self._enter("reasoning", _DIM)
                self._write(clean(delta))
            case wire.SpanOpen():
                self._enter("reasoning", _DIM)
                self._style(_UNDERLINE)
            case wire.SpanClose(points=points):
                self._style(_NOT_UNDERLINED)
                self._write("".join(f" ({x:.3f}, {y:.3f})" for x, y in points))
            case wire.TextDelta(delta=delta):
                self._enter("answer", _BOLD)
                self._write(clean(delta))
            case wire.PointEvent(x=x, y=y):
                self._line(f"x {x:.3f}  y {y:.3f}")
            case wire.BoxEvent():
                corner = f"x {event.x_min:.3f}–{event.x_max:.3f}"
                self._line(f"{corner}  y {event.y_min:.3f}–{event.y_max:.3f}")

    def finish(self, complete: bool, skill: str) -> None:
        """End the last line; when a point or detect result is `complete` and empty, say so."""
        if complete and skill in ("point", "detect") and not self._found:
            self._write("Nothing found.\n")
        if self._part in ("reasoning", "answer"):
            self._style(_PLAIN)
            self._write("\n")

    def _enter(self, part: str, style: str) -> None:
        if self._part == part:
            return
        if self._part:
            self._style(_PLAIN)
            self._write("\n\n")
        self._part = part
        self._style(style)

    def _line(self, place: str) -> None:
        self._part = "list"
        self._found += 1
        self._write(f"{self._found:>3}  {place}\n")

    def _style(self, code: str) -> None:
        if self._ansi:
            self._write(code)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
