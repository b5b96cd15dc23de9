"""What is known of a result while its events arrive. State only: no HTML, no geometry.

A grounded span's id and number count the spans that have places. Whether a new span will have any is not
known when it opens, but only the open one is undecided: it takes the next number, and the next span takes
the same one if it turns out to have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers import words
from dreamscope.visualizers.prose import Prose

Spreads = Sequence[wire.PlaceSpread | None]


@dataclass(frozen=True, slots=True)
class _Open:
    """The span of a snapshot that has not closed."""

    start: int
    points: tuple[tuple[float, float], ...] = ()
    spreads: tuple[wire.PlaceSpread, ...] | None = None


class Progress:
    """The parts of one result so far. Raises `ValueError` for an unknown skill."""

    def __init__(self, skill: str) -> None:
        if skill not in wire.RESULTS:
            raise ValueError(f"Unknown skill {skill!r}; one of {', '.join(wire.RESULTS)}.")
        self.skill = skill
        self.answer = Prose()
        self.points: list[wire.Point] = []
        self.boxes: list[wire.Box] = []
        self.target: wire.Point | None = None
        self.outline = wire.SegmentResult("")
        self.reasons = False
        self.reasoning = Prose()
        self.grounds: list[wire.Ground] = []
        self.open_at: int | None = None
        self.open_points: list[wire.Point] = []
        self.finished = False

    @property
    def result(self) -> wire.Result:
        """What is complete, as a result; a span that is still open is not part of it."""
        text, probs = self.answer.text, self.answer.probs
        match self.skill:
            case "caption":
                return wire.CaptionResult(text, probs)
            case "point":
                return wire.PointResult(tuple(self.points), len(self.points))
            case "detect":
                return wire.DetectResult(tuple(self.boxes))
            case "gaze":
                return wire.GazeResult(self.target)
            case "segment":
                return self.outline
            case "chat":
                return wire.ChatResult(text, self._reasoning, probs)
            case _:
                return wire.QueryResult(text, self._reasoning, probs)

    @property
    def _reasoning(self) -> wire.Reasoning | None:
        if not self.reasons:
            return None
        return wire.Reasoning(self.reasoning.text, tuple(self.grounds), self.reasoning.probs)

    @property
    def kept(self) -> tuple[str, str]:
        """What a stopped request leaves: its text, and in words what was found."""
        if self.skill == "segment":
            return "", words.outlined(self.outline)
        if self.skill == "gaze":
            return "", words.TARGET if self.target else ""
        found = words.found(self.result, finished=False)
        return self.answer.text or self.reasoning.text, found

    def open_span(self) -> None:
        """Begin a grounded span at the end of the reasoning."""
        self.reasons = True
        self.open_at = len(self.reasoning.text)
        self.open_points = []

    def close_span(self, points: Sequence[wire.Point]) -> tuple[int, int]:
        """End the open span, a ground if it has `points`; returns where its text is. `ValueError` if none
        is open.
        """
        if self.open_at is None:
            raise ValueError("No span is open.")
        start, end, self.open_at = self.open_at, len(self.reasoning.text), None
        if points:
            self.grounds.append(_ground(start, end, points))
        return start, end

    def take_reasoning(self, reasoning: wire.Reasoning | None) -> None:
        """Replace the reasoning by an authoritative one."""
        self.reasons = reasoning is not None
        known = reasoning or wire.Reasoning("")
        self.reasoning, self.grounds = Prose(known.text, known.probs), list(known.grounding)
        self.open_at, self.open_points = None, []

    def take(self, result: wire.Result) -> None:
        """Replace everything by an authoritative result."""
        match result:
            case wire.QueryResult() | wire.ChatResult():
                self.answer = Prose(result.answer, result.probs)
                self.take_reasoning(result.reasoning)
            case wire.CaptionResult():
                self.answer = Prose(result.caption, result.probs)
            case wire.PointResult():
                self.points = list(result.points)
            case wire.DetectResult():
                self.boxes = list(result.objects)
            case wire.GazeResult():
                self.target = result.gaze
            case wire.SegmentResult():
                self.outline = result

    def take_snapshot(self, state: dict[str, Any]) -> None:
        """Replace everything by the `state` of a `request.snapshot`. Raises `WireError` on a misfit."""
        text, points, boxes = state.get("text") or "", state.get("points") or [], state.get("boxes") or []
        reasoning, mask = state.get("reasoning"), state.get("mask") or {}
        words_so_far = {"answer": text, "reasoning": reasoning, "probs": state.get("probs")}
        outputs: dict[str, dict[str, Any]] = {
            "query": words_so_far,
            "chat": words_so_far,
            "caption": {"caption": text, "probs": state.get("probs")},
            "point": {"points": points, "count": len(points)},
            "detect": {"objects": boxes},
            "gaze": {"gaze": state.get("gaze")},
            "segment": {"path": mask.get("path") or "", "bbox": mask.get("bbox")},
        }
        self.take(wire.result_from_json(self.skill, outputs[self.skill]))
        if self.reasons and (opened := (reasoning or {}).get("open")):
            known = wire.from_json(_Open, opened)
            self.open_at = min(max(known.start, 0), len(self.reasoning.text))
            self.open_points = spread_points(known.points, known.spreads)


def spread_points(points: Sequence[tuple[float, float]], spreads: Spreads | None) -> list[wire.Point]:
    """Places with what is known of their spreads."""
    known = spreads or ()
    return [wire.Point(x, y, known[nth] if nth < len(known) else None) for nth, (x, y) in enumerate(points)]


def boxed(box: wire.Box, spread: wire.BoxSpread | None) -> wire.Box:
    """`box` with its spread, if an event gives it apart."""
    return box if spread is None else replace(box, spread=spread)


def _ground(start: int, end: int, points: Sequence[wire.Point]) -> wire.Ground:
    spreads = tuple(point.spread for point in points if point.spread is not None)
    pairs = tuple((point.x, point.y) for point in points)
    return wire.Ground(start, end, pairs, spreads if len(spreads) == len(pairs) else None)
