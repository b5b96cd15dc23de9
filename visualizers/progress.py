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

    def feed(self, event: wire.Message) -> None:
        """Take in one event; kinds that bring nothing of the result change nothing.

        Raises `WireError` if the output of a terminal event or a snapshot does not fit the skill.
        """
        match event:
            case wire.TextDelta():
                self.answer.add(event.delta, event.probs)
            case wire.ReasoningDelta():
                self.reasons = True
                self.reasoning.add(event.delta, event.probs)
            case wire.SpanOpen() | wire.SpanPoint() | wire.SpanClose():
                self._feed_span(event)
            case wire.ReasoningDone():
                self.take_reasoning(wire.Reasoning(event.text, event.grounding, event.probs))
            case wire.PointEvent():
                self.points.append(wire.Point(event.x, event.y, event.spread))
            case wire.BoxEvent():
                box = wire.Box(event.x_min, event.y_min, event.x_max, event.y_max, event.spread)
                self.boxes.append(box)
            case wire.GazeEvent():
                self.target = wire.Point(event.x, event.y, event.spread)
            case wire.MaskBox():
                self.outline = replace(self.outline, bbox=boxed(event.bbox, event.spread))
            case wire.MaskDelta():
                self.outline = replace(self.outline, path=self.outline.path + event.delta)
            case wire.MaskDone():
                box_known = _final(self.outline.bbox, event.bbox)
                self.outline = replace(self.outline, path=event.path, bbox=box_known)
            case wire.RequestSnapshot():
                self.take_snapshot(event.state)
            case wire.RequestDone():
                self.take(wire.result_from_json(self.skill, event.output))
                self.finished = True

    def _feed_span(self, event: wire.SpanOpen | wire.SpanPoint | wire.SpanClose) -> None:
        if isinstance(event, wire.SpanClose):
            self.close_span(self.closing(event))
            return
        if isinstance(event, wire.SpanOpen) or self.open_at is None:
            self.close_span(self.open_points)
            self.open_span()
        if isinstance(event, wire.SpanPoint):
            self.open_points.append(wire.Point(event.x, event.y, event.spread))

    def closing(self, event: wire.SpanClose) -> list[wire.Point]:
        """The places that the closing event gives; where it repeats those known, with their spreads."""
        known = self.open_points
        if event.spreads is None and [(point.x, point.y) for point in known] == list(event.points):
            return list(known)
        return spread_points(event.points, event.spreads)

    def open_span(self) -> None:
        """Begin a grounded span at the end of the reasoning."""
        self.reasons = True
        self.open_at = len(self.reasoning.text)
        self.open_points = []

    def close_span(self, points: Sequence[wire.Point]) -> tuple[int, int] | None:
        """End the open span, a ground if it has `points`; returns where its text is.

        `None` if no span is open.
        """
        if self.open_at is None:
            return None
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


def fold(skill: str, events: Sequence[wire.RequestEvent]) -> wire.Result:
    """What a request answered, or what had arrived of it; a grounded span that is open keeps its places.

    Raises `ValueError` for an unknown skill, `WireError` if an event does not fit it.
    """
    progress, last = Progress(skill), events[-1] if events else None
    for event in [last] if isinstance(last, wire.RequestDone) else events:
        progress.feed(event)
    progress.close_span(progress.open_points)
    return progress.result


def spread_points(points: Sequence[tuple[float, float]], spreads: Spreads | None) -> list[wire.Point]:
    """Places with what is known of their spreads."""
    known = spreads or ()
    return [wire.Point(x, y, known[nth] if nth < len(known) else None) for nth, (x, y) in enumerate(points)]


def boxed(box: wire.Box, spread: wire.BoxSpread | None) -> wire.Box:
    """`box` with its spread, if an event gives it apart."""
    return box if spread is None else replace(box, spread=spread)


def _final(known: wire.Box | None, box: wire.Box | None) -> wire.Box | None:
    """The final box; what is known of its spread stays with it if it is the one that was decoded."""
    if known is not None and box is not None and box == replace(known, spread=None):
        return known
    return box


def _ground(start: int, end: int, points: Sequence[wire.Point]) -> wire.Ground:
    spreads = tuple(point.spread for point in points if point.spread is not None)
    pairs = tuple((point.x, point.y) for point in points)
    return wire.Ground(start, end, pairs, spreads if len(spreads) == len(pairs) else None)
