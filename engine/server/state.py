"""What a client knows of a request after some of its events: the fold behind `request.snapshot`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dreamscope.engine import wire


class Accumulated:
    """Everything that the events fed so far add up to."""

    def __init__(self) -> None:
        self._status = "queued"
        self._reasoning: list[str] = []
        self._reasoning_probs: list[tuple[int, float]] = []
        self._grounding: list[wire.Ground] = []
        self._open: tuple[int, int] | None = None  # index, start of the span that has not closed
        self._open_points: list[tuple[float, float]] = []
        self._open_spreads: list[wire.PlaceSpread] = []
        self._text: list[str] = []
        self._probs: list[tuple[int, float]] = []
        self._points: list[wire.Point] = []
        self._boxes: list[wire.Box] = []
        self._gaze: wire.Point | None = None
        self._mask_box: wire.Box | None = None
        self._mask_path: list[str] = []

    def feed(self, event: wire.Message) -> None:
        """Add one event; events must come in `seq` order, merged deltas are fine."""
        match event:
            case wire.RequestStarted():
                self._status = "running"
            case wire.ReasoningDelta(delta=delta, probs=probs):
                self._reasoning.append(delta)
                self._reasoning_probs += probs or ()
            case wire.SpanOpen(index=index, start=start):
                self._open, self._open_points, self._open_spreads = (index, start), [], []
            case wire.SpanPoint(x=x, y=y, spread=spread):
                self._open_points.append((x, y))
                self._open_spreads += [] if spread is None else [spread]
            case wire.SpanClose(end=end, points=points, spreads=spreads):
                if points and self._open is not None:
                    self._grounding.append(wire.Ground(self._open[1], end, points, spreads))
                self._open = None
            case wire.ReasoningDone(text=text, grounding=grounding, probs=probs):
                self._reasoning, self._grounding, self._open = [text], list(grounding), None
                self._reasoning_probs = list(probs or ())
            case wire.TextDelta(delta=delta, probs=probs):
                self._text.append(delta)
                self._probs += probs or ()
            case wire.PointEvent(x=x, y=y, spread=spread):
                self._points.append(wire.Point(x, y, spread))
            case wire.BoxEvent():
                box = wire.Box(event.x_min, event.y_min, event.x_max, event.y_max, event.spread)
                self._boxes.append(box)
            case wire.GazeEvent(x=x, y=y, spread=spread):
                self._gaze = wire.Point(x, y, spread)
            case wire.MaskBox(bbox=bbox, spread=spread):
                self._mask_box = replace(bbox, spread=spread)
            case wire.MaskDelta(delta=delta):
                self._mask_path.append(delta)
            case wire.MaskDone(path=path, bbox=bbox):
                self._mask_box, self._mask_path = bbox, [path]
            case wire.RequestDone():
                self._status = "done"
            case wire.RequestCancelled():
                self._status = "cancelled"
            case wire.RequestFailed():
                self._status = "failed"

    def state(self) -> dict[str, Any]:
        """The `state` of a snapshot. `reasoning` has the shape of a result, plus `open`: the span that is
        still being decoded, or `None`; without any reasoning so far it is `None` itself. `status` is
        queued, running, done, cancelled or failed. Where uncertainty was asked for, `probs` are those of the
        text; the other parts carry theirs as in a result, an open span its `spreads`.
        """
        state = {
            "status": self._status,
            "reasoning": self._reasoning_state(),
            "text": "".join(self._text),
            "points": wire.to_json(self._points),
            "boxes": wire.to_json(self._boxes),
            "gaze": wire.to_json(self._gaze),
            "mask": self._mask_state(),
        }
        if self._probs:
            state["probs"] = wire.to_json(self._probs)
        return state

    def _mask_state(self) -> dict[str, Any] | None:
        if self._mask_box is None and not self._mask_path:
            return None
        return {"path": "".join(self._mask_path), "bbox": wire.to_json(self._mask_box)}

    def _reasoning_state(self) -> dict[str, Any] | None:
        if not self._reasoning and self._open is None:
            return None
        opened: dict[str, Any] | None = None
        if self._open is not None:
            opened = {"index": self._open[0], "start": self._open[1], "points": self._open_points}
            if self._open_spreads:
                opened["spreads"] = self._open_spreads
        probs = tuple(self._reasoning_probs) or None
        reasoning = wire.Reasoning("".join(self._reasoning), tuple(self._grounding), probs)
        return {**wire.to_json(reasoning), "open": wire.to_json(opened)}
