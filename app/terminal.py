"""A run as text that grows in a terminal: grounded words underlined, their places behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dreamscope.engine import wire
from dreamscope.visualizers.escape import clean

_DIM, _BOLD, _UNDERLINE, _NOT_UNDERLINED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[4m", "\x1b[24m", "\x1b[0m"

_NOTHING = {
    "point": "Nothing found.",
    "detect": "Nothing found.",
    "segment": "Nothing to outline.",
    "gaze": "No target in the image.",
}
_PATH_UNIT = "Outline as an SVG path; x and y run from 0 to 1 across the box above, y downwards:"
_REFINED = "The outline as it ended, in the same coordinates:"


class Output(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> int:
        """Write."""

    def flush(self) -> None:
        """Hand over what was written."""


class Patient:
    """Output that goes on without its reader: what comes after the reader has left is dropped."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.left = False

    def write(self, text: str, /) -> int:
        """Write, unless nobody reads."""
        if not self.left:
            self._try(lambda: self._output.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand over, unless nobody reads."""
        if not self.left:
            self._try(self._output.flush)

    def _try(self, do: Callable[[], object]) -> None:
        try:
            do()
        except BrokenPipeError:
            self.left = True


class Terminal:
    """Writes the events of one request to `stream`; `ansi` turns styles on. Model text loses its control
    characters, so that it cannot drive the terminal."""

    def __init__(self, stream: Output, ansi: bool) -> None:
        self._stream = stream
        self._ansi = ansi
        self._part = ""  # reasoning, answer, path or list: what the last written event belonged to
        self._path = ""  # of segment, as it streamed
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
            case wire.PointEvent(x=x, y=y, spread=spread):
                self._line(f"x {x:.3f}  y {y:.3f}{_spread(spread)}")
            case wire.BoxEvent(spread=spread):
                self._line(f"{_sides(event)}{_spread(spread)}")
            case wire.GazeEvent(x=x, y=y, spread=spread):
                self._line(f"x {x:.3f}  y {y:.3f}{_spread(spread)}")
            case wire.MaskBox(bbox=bbox, spread=spread):
                self._line(f"{_sides(bbox)}{_spread(spread)}")
            case wire.MaskDelta(delta=delta):
                if self._part != "path":
                    self._write(f"\n{_PATH_UNIT}\n")
                    self._part = ""
                self._enter("path", _DIM)
                self._path += delta
                self._write(clean(delta))
            case wire.MaskDone(path=path) if path and path != self._path:
                self._style(_PLAIN)
                self._part = ""
                self._write(f"\n\n{_REFINED}\n")
                self._enter("path", _BOLD)
                self._write(clean(path))

    def finish(self, complete: bool, skill: str) -> None:
        """End the last line; when places were asked for and a `complete` result has none, say so."""
        if complete and skill in _NOTHING and not self._found:
            self._write(f"{_NOTHING[skill]}\n")
        if self._part in ("reasoning", "answer", "path"):
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


def _sides(box: wire.Box | wire.BoxEvent) -> str:
    return f"x {box.x_min:.3f}–{box.x_max:.3f}  y {box.y_min:.3f}–{box.y_max:.3f}"


def _spread(spread: wire.PlaceSpread | wire.BoxSpread | None) -> str:
    """The middle 68 percent of what the decoder considered, per number."""
    if spread is None:
        return ""
    names = ("x", "y", "w", "h") if isinstance(spread, wire.BoxSpread) else ("x", "y")
    shown = [(name, getattr(spread, name).i68) for name in names]
    return "   68 %: " + "  ".join(f"{name} {low:.3f}–{high:.3f}" for name, (low, high) in shown)
