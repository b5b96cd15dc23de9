"""What is known of a result while its events arrive. State only: no HTML, no geometry.

A grounded span's id and number count the spans that have places. Whether a new span will have any is not
known when it opens, but only the open one is undecided: it takes the next number, and the next span takes
the same one if it turns out to have none.
"""

from __future__ import annotations

from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers import words


class Progress:
    """The parts of one result so far. Raises `ValueError` for an unknown skill."""

    def __init__(self, skill: str) -> None:
        if skill not in wire.RESULTS:
            raise ValueError(f"Unknown skill {skill!r}; one of {', '.join(wire.RESULTS)}.")
        self.skill = skill
        self.answer = ""
        self.points: list[wire.Point] = []
        self.boxes: list[wire.Box] = []
        self.reasons = False
        self.reasoning = ""
        self.grounds: list[wire.Ground] = []
        self.open_at: int | None = None
        self.open_points: list[tuple[float, float]] = []
        self.finished = False

    @property
    def result(self) -> wire.Result:
        """What is complete, as a result; a span that is still open is not part of it."""
        if self.skill == "caption":
            return wire.CaptionResult(self.answer)
        if self.skill == "point":
            return wire.PointResult(tuple(self.points), len(self.points))
        if self.skill == "detect":
            return wire.DetectResult(tuple(self.boxes))
        reasoning = wire.Reasoning(self.reasoning, tuple(self.grounds)) if self.reasons else None
        return wire.QueryResult(self.answer, reasoning)

    @property
    def kept(self) -> tuple[str, str]:
        """What a stopped request leaves: its text, and in words what was found."""
        result = self.result
        if isinstance(result, (wire.PointResult, wire.DetectResult)):
            return "", words.found(result, finished=False)
        return self.answer or self.reasoning, ""

    def open_span(self) -> None:
        """Begin a grounded span at the end of the reasoning."""
        self.reasons = True
        self.open_at = len(self.reasoning)
        self.open_points = []

    def close_span(self, points: tuple[tuple[float, float], ...]) -> str:
        """End the open span, a ground if it has `points`; returns its text. `ValueError` if none is."""
        if self.open_at is None:
            raise ValueError("No span is open.")
        start, self.open_at = self.open_at, None
        if points:
            self.grounds.append(wire.Ground(start, len(self.reasoning), points))
        return self.reasoning[start:]

    def take_reasoning(self, reasoning: wire.Reasoning | None) -> None:
        """Replace the reasoning by an authoritative one."""
        self.reasons = reasoning is not None
        known = reasoning or wire.Reasoning("")
        self.reasoning, self.grounds = known.text, list(known.grounding)
        self.open_at, self.open_points = None, []

    def take(self, result: wire.Result) -> None:
        """Replace everything by an authoritative result."""
        match result:
            case wire.QueryResult():
                self.answer = result.answer
                self.take_reasoning(result.reasoning)
            case wire.CaptionResult():
                self.answer = result.caption
            case wire.PointResult():
                self.points = list(result.points)
            case wire.DetectResult():
                self.boxes = list(result.objects)

    def take_snapshot(self, state: dict[str, Any]) -> None:
        """Replace everything by the `state` of a `request.snapshot`. Raises `WireError` on a misfit."""
        text, points, boxes = state.get("text") or "", state.get("points") or [], state.get("boxes") or []
        outputs: dict[str, dict[str, Any]] = {
            "query": {"answer": text, "reasoning": state.get("reasoning")},
            "caption": {"caption": text},
            "point": {"points": points, "count": len(points)},
            "detect": {"objects": boxes},
        }
        self.take(wire.result_from_json(self.skill, outputs[self.skill]))
