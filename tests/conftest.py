"""Runs as the history keeps them, for whatever is made from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Picture, Record

REASONING = "I see 2 dogs near the fence."
PICTURE = Picture("ab" * 32, 640, 480, "image/png")
METRICS = wire.Metrics(input_tokens=740, output_tokens=9, ttft_ms=84.0, decode_time_ms=400.0)


def query_part(question: str = "How many dogs?", answer: str = "There are 2.", **create: Any) -> Part:
    """Reasoning with one grounded span of two points, then the answer: 12 events over 480 ms, done."""
    asked = wire.RequestCreate(request_id="r0", skill="query", question=question, reasoning=True, **create)
    ground = wire.Ground(6, 12, ((0.25, 0.5), (0.75, 0.5)))
    events: list[dict[str, Any]] = [
        {"of": wire.RequestAccepted, "model": "sprite-2", "skill": "query"},
        {"of": wire.RequestStarted, "input_tokens": 740, "cached_tokens": 0},
        {"of": wire.ReasoningDelta, "delta": REASONING[:6]},
        {"of": wire.SpanOpen, "index": 0, "start": 6},
        {"of": wire.SpanPoint, "index": 0, "x": 0.25, "y": 0.5},
        {"of": wire.SpanPoint, "index": 0, "x": 0.75, "y": 0.5},
        {"of": wire.ReasoningDelta, "delta": REASONING[6:12]},
        {"of": wire.SpanClose, "index": 0, "end": 12, "points": ground.points},
        {"of": wire.ReasoningDelta, "delta": REASONING[12:]},
        {"of": wire.ReasoningDone, "text": REASONING, "grounding": (ground,)},
        {"of": wire.TextDelta, "delta": answer},
        done(wire.QueryResult(answer, wire.Reasoning(REASONING, (ground,)))),
    ]
    return Part(asked, "done", timed(events, "r0"))


def detect_part(name: str, boxes: Sequence[wire.Box], nth: int = 0, start_ms: float = 0.0) -> Part:
    """One event per box, 40 ms apart from `start_ms`, done."""
    request = f"r{nth}"
    events: list[dict[str, Any]] = [{"of": wire.RequestAccepted, "model": "sprite-2", "skill": "detect"}]
    for index, box in enumerate(boxes):
        corners = {edge: getattr(box, edge) for edge in ("x_min", "y_min", "x_max", "y_max")}
        events.append({"of": wire.BoxEvent, "index": index, **corners})
    events.append(done(wire.DetectResult(tuple(boxes))))
    asked = wire.RequestCreate(request_id=request, skill="detect", object=name)
    return Part(asked, "done", timed(events, request, start_ms))


def done(result: wire.Result) -> dict[str, Any]:
    output = wire.result_to_json(result)
    return {"of": wire.RequestDone, "finish_reason": "stop", "output": output, "metrics": METRICS}


def timed(
    events: Sequence[dict[str, Any]], request: str, start_ms: float = 0.0
) -> tuple[wire.RequestEvent, ...]:
    """The events, 40 ms apart."""
    return tuple(
        event["of"](
            request_id=request,
            seq=seq,
            t=start_ms + 40.0 * seq,
            **{name: value for name, value in event.items() if name != "of"},
        )
        for seq, event in enumerate(events)
    )


def record(*parts: Part, **fields: Any) -> Record:
    known: dict[str, Any] = {
        "id": "run1",
        "created_at": "2026-03-01T10:20:30.400+00:00",
        "skill": parts[0].create.skill,
        "model": "sprite-2",
        "revision": "abc1234",
        "picture": PICTURE,
        "title": "Dogs by the fence",
    }
    return Record(**{**known, "parts": parts, **fields})


def pytest_configure() -> None:
    """The workers share the cores, so each computes with one thread; torch reads this when it is imported."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_kept_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that a test starts keep their history in a folder of this session, unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMSCOPE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def make_query() -> Callable[..., Record]:
    """`make_query(question=, answer=, **fields of the record)`: a run of one query."""

    def make(question: str = "How many dogs?", answer: str = "There are 2.", **fields: Any) -> Record:
        return record(query_part(question, answer), **fields)

    return make


@pytest.fixture(scope="session")
def make_detect() -> Callable[..., Record]:
    """`make_detect("dog", "cat")`: a run of one part for each name, with two boxes each."""

    def make(*names: str, **fields: Any) -> Record:
        parts = []
        for nth, name in enumerate(names):
            left = 0.1 + 0.05 * nth
            boxes = (wire.Box(left, 0.1, left + 0.2, 0.4), wire.Box(left, 0.5, left + 0.3, 0.9))
            parts.append(detect_part(name, boxes, nth, 15.0 * nth))
        return record(*parts, **fields)

    return make
