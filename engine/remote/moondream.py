"""The Moondream protocol: `POST /v1/<skill>`, plain and as a stream, from the asking side."""

from __future__ import annotations

from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.remote import checked
from dreamscope.engine.remote.checked import BadAnswer
from dreamscope.engine.remote.reading import Events, Json, Reading
from dreamscope.engine.skills.base import UNADDRESSED, SkillRequest

_ANSWERS = {"query": "answer", "caption": "caption"}
_LISTS_OBJECTS = ("point", "detect")
_REFERS = ("query", "point", "segment")


def body_of(request: SkillRequest, model: str | None, image_url: str | None, live: bool) -> dict[str, Any]:
    """The body of the request; it knows no schema. `live`: the endpoint streams reasoning too."""
    sampling = request.sampling
    settings: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    settings["max_tokens"] = sampling.max_tokens
    if request.skill in _LISTS_OBJECTS:
        settings["max_objects"] = sampling.max_objects
    if sampling.seed is not None:
        settings["seed"] = sampling.seed
    body: dict[str, Any] = {"settings": settings}
    if model is not None:
        body["model"] = model
    if image_url is not None:
        body["image_url"] = image_url
    if request.skill == "query":
        body |= {"question": request.question, "reasoning": request.reasoning}
    elif request.skill == "caption":
        body["length"] = request.length
    else:
        body["object"] = request.object
    if request.skill in _REFERS and request.spatial_refs:
        body["spatial_refs"] = [list(ref) for ref in request.spatial_refs]
    if request.skill not in _LISTS_OBJECTS:
        body["stream"] = live or not request.reasoning
    return body


class MoondreamReading(Reading):
    """Answers of all five skills. A stream tells of a grounded span when its text is out."""

    held_back = 60

    def __init__(self, request: SkillRequest) -> None:
        super().__init__(request)
        self._found: wire.Result | None = None
        self._bbox: wire.Box | None = None

    def result(self) -> wire.Result:
        """The result, once complete."""
        return super().result() if self._found is None else self._found

    def _event(self, body: Json) -> Events:
        if self.complete:
            return []
        match body.get("type"):
            case "reasoning_delta":
                return self.add_reasoning(checked.text_of(body.get("reasoning"), "reasoning"))
            case "grounding":
                return self.add_ground(body.get("grounding"))
            case "bbox" if self.request.skill == "segment":
                self._bbox = checked.box(body.get("bbox"))
                return [wire.MaskBox(request_id=UNADDRESSED, bbox=self._bbox)]
        chunk = body.get("chunk")
        events = [] if chunk is None else self._chunk(checked.text_of(chunk, "chunk"))
        return [*events, *self._last(body)] if body.get("completed") is True else events

    def _chunk(self, chunk: str) -> Events:
        if self.request.skill in _ANSWERS:
            return self.add_text(chunk)
        if self.request.skill != "segment" or not chunk:
            return []
        self.text += checked.path_of(chunk)
        return [wire.MaskDelta(request_id=UNADDRESSED, delta=chunk)]

    def _last(self, body: Json) -> Events:
        """The event that completes a stream; some endpoints repeat the whole result in it, some do not."""
        self.complete = True
        name = _ANSWERS.get(self.request.skill)
        if name is None or (not self.text and name in body):
            return self._whole(body)
        self._measured(body)
        events = [*self._reasoned(body), *self.settle()]
        self.know_spans(body.get("reasoning"))
        return events

    def _whole(self, body: Json) -> Events:
        self._measured(body)
        match self.request.skill:
            case "point":
                return self._points(body)
            case "detect":
                return self._boxes(body)
            case "segment":
                return self._outline(body)
        name = _ANSWERS[self.request.skill]
        answer = checked.text_of(body.get(name), name)
        return [*self._reasoned(body), *self.settle(), *self.add_text(answer)]

    def _reasoned(self, body: Json) -> Events:
        """The reasoning of a plain answer or a last event, as far as it was not told before."""
        reasoning = body.get("reasoning")
        if not self.request.reasoning or not isinstance(reasoning, dict):
            return []
        text = checked.text_of(reasoning.get("text"), "the reasoning")
        return self.add_reasoned(text, checked.listed(reasoning.get("grounding") or [], "grounding"))

    def _points(self, body: Json) -> Events:
        found = tuple(checked.point(item) for item in checked.listed(body.get("points"), "points"))
        self._found = wire.PointResult(found, len(found))
        return [
            wire.PointEvent(request_id=UNADDRESSED, index=index, x=each.x, y=each.y)
            for index, each in enumerate(found)
        ]

    def _boxes(self, body: Json) -> Events:
        found = tuple(checked.box(item) for item in checked.listed(body.get("objects"), "objects"))
        self._found = wire.DetectResult(found)
        return [
            wire.BoxEvent(request_id=UNADDRESSED, index=index, **wire.to_json(each))
            for index, each in enumerate(found)
        ]

    def _outline(self, body: Json) -> Events:
        """The final outline; what was streamed before it is the coarse one."""
        path = checked.path_of(body.get("path"))
        box = None if body.get("bbox") is None else checked.box(body["bbox"])
        if path and box is None:
            raise BadAnswer("there is a path without its bbox")
        coarse, coarse_box = (self.text, self._bbox) if self.text else (path, box)
        self._found = wire.SegmentResult(path, box, refined=path != coarse)
        told: Events = [] if box is None or self._bbox else [wire.MaskBox(request_id=UNADDRESSED, bbox=box)]
        done = wire.MaskDone(
            request_id=UNADDRESSED, path=path, coarse_path=coarse, bbox=box, coarse_bbox=coarse_box
        )
        return [*told, done]

    def _measured(self, body: Json) -> None:
        self.finish_reason = checked.finish_reason(body.get("finish_reason"))
        self.metrics = checked.metrics_of(body.get("metrics"))
