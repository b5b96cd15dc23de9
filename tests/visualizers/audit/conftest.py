"""Runs to audit, written as `I see [a dog](0.2 0.3) and [two cats](0.5 0.5, 0.7 0.7).`"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.audit.check import Check
from dreamscope.visualizers.audit.checks import audit
from dreamscope.visualizers.record import Part, Picture, Record

PICTURE = Picture("ab" * 32, 640, 480, "image/png")
Spread = tuple[float, float]


def spread(value: float, wide: float) -> wire.Spread:
    half = wide / 2
    return wire.Spread(0.4, (value - half / 2, value + half / 2), (value - half, value + half))


def reasoning_of(marked: str, wide: float | None = 0.02) -> tuple[wire.Reasoning, list[wire.RequestEvent]]:
    """The reasoning, and the events of its spans; a span `[words]()` has no place."""
    text, grounds, events = "", [], list[wire.RequestEvent]()
    for nth, piece in enumerate(re.split(r"\[([^\]]*)\]\(([^)]*)\)", marked)):
        if nth % 3 == 0:
            text += piece
        elif nth % 3 == 1:
            start, text = len(text), text + piece
        else:
            pairs = [tuple(map(float, pair.split())) for pair in piece.split(",") if pair.strip()]
            points = tuple((x, y) for x, y in pairs)
            spreads = None
            if wide is not None:
                spreads = tuple(wire.PlaceSpread(spread(x, wide), spread(y, wide)) for x, y in points)
            index = nth // 3
            events.append(wire.SpanOpen(request_id="r", index=index, start=start))
            events.append(wire.SpanClose(request_id="r", index=index, end=len(text), points=points))
            if points:
                grounds.append(wire.Ground(start, len(text), points, spreads))
    return wire.Reasoning(text, tuple(grounds)), events


def run(
    skill: str, result: wire.Result, events: list[wire.RequestEvent] | None = None, **asked: Any
) -> Record:
    finish = asked.pop("finish", "stop")
    output = wire.result_to_json(result)
    done = wire.RequestDone(request_id="r", finish_reason=finish, output=output, metrics=wire.Metrics())
    create = wire.RequestCreate(request_id="r", skill=skill, **asked)
    part = Part(create, "done", (*(events or ()), done))
    return Record(id="run1", created_at="", skill=skill, model="m", picture=PICTURE, parts=(part,))


def query(question: str, marked: str | None, answer: str, wide: float | None = 0.02, **asked: Any) -> Record:
    reasoning, events = reasoning_of(marked, wide) if marked is not None else (None, [])
    return run("query", wire.QueryResult(answer, reasoning), events, question=question, **asked)


def detect(noun: str, *boxes: tuple[float, float, float, float]) -> Record:
    return run("detect", wire.DetectResult(tuple(wire.Box(*box) for box in boxes)), object=noun)


def verdicts(record: Record, *detected: Record) -> dict[str, str]:
    """The worst verdict of each check."""
    out: dict[str, str] = {}
    for check in audit(record, detected):
        if out.get(check.id) != "look":
            out[check.id] = check.verdict
    return out


def look(record: Record, *detected: Record) -> list[str]:
    """The checks that want a look."""
    return [check.id for check in audit(record, detected) if check.verdict == "look"]


def find(record: Record, name: str, *detected: Record) -> Check:
    return next(check for check in audit(record, detected) if check.id == name)


@pytest.fixture(scope="session")
def made() -> Any:
    """The makers above, as attributes."""

    class Makers:
        run, query, detect, verdicts, look, find = map(
            staticmethod, (run, query, detect, verdicts, look, find)
        )
        spread = staticmethod(spread)

    return Makers


@pytest.fixture(scope="session")
def asked() -> Callable[..., list[str]]:
    return lambda *arguments, **fields: look(query(*arguments, **fields))
