"""P1 with a real model: whatever arrives, ends, fails or is cancelled beside it, a request says what it says
alone, on an engine that knows neither batch nor pages.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.models.base import Model
from dreamscope.engine.runtime.engine import Engine, EngineOptions, EngineRequest
from dreamscope.engine.runtime.images import RawImage, decode_image
from dreamscope.engine.runtime.sequential import SequentialEngine
from dreamscope.engine.skills.base import ChatMessage, Sampling, SkillRequest
from dreamscope.engine.skills.caption import CaptionSkill
from dreamscope.engine.weights.load import load_model

SCENES = Path(__file__).parents[3] / "static" / "scenes"
GREEDY = Sampling(temperature=0.0, max_tokens=40, max_objects=4)
REQUESTS = {
    "query": SkillRequest("query", GREEDY, question="How many dogs are there?"),
    "reasoning": SkillRequest("query", GREEDY, question="How many dogs are there?", reasoning=True),
    "caption": SkillRequest("caption", GREEDY, length="normal"),
    "point": SkillRequest("point", GREEDY, object="tree"),
    "detect": SkillRequest("detect", GREEDY, object="house"),
    "gaze": SkillRequest("gaze", GREEDY, eye=(0.4, 0.4)),
    "gaze of a face": SkillRequest("gaze", replace(GREEDY, seed=4), face=(0.3, 0.2, 0.5, 0.5)),
    "chat": SkillRequest("chat", GREEDY, messages=(ChatMessage("user", "What is it?", 1),)),
    "schema": SkillRequest(
        "query", GREEDY, question="How many?", schema='{"type":"integer","minimum":0,"maximum":99}'
    ),
    "short": SkillRequest("caption", replace(GREEDY, max_tokens=3), length="long"),
}
IMAGES = ("meadow.png", "shore.png", "picnic.png")


@pytest.fixture(scope="module")
def sprite(cpu: Device) -> Model:
    return load_model("sprite-2", cpu)


@pytest.fixture(scope="module")
def images() -> dict[str, RawImage]:
    return {name: decode_image((SCENES / name).read_bytes()) for name in IMAGES}


def request_for(name: str, what: str, image: RawImage, **fields: Any) -> EngineRequest:
    if what == "chat":
        return EngineRequest(name, REQUESTS[what], images=(image,), **fields)
    return EngineRequest(name, REQUESTS[what], image, **fields)


@pytest.fixture(scope="module")
def expected(sprite: Model, images: dict[str, RawImage]) -> dict[tuple[str, str], Any]:
    plain = SequentialEngine(sprite)
    return {
        (what, name): wire.result_to_json(plain.ask(request_for("", what, image)).result())
        for what in REQUESTS
        for name, image in images.items()
    }


@pytest.fixture
def serve(sprite: Model) -> Iterator[Any]:
    made: list[Engine] = []

    def start(**options: Any) -> Engine:
        made.append(
            Engine(
                sprite,
                wire.ModelInfo("sprite-2", ("query",)),
                partial(build_runner, sprite),
                options=EngineOptions(**options),
            )
        )
        made[-1].start()
        return made[-1]

    yield start
    for engine in made:
        engine.shutdown()
        gauges = engine.gauges()
        assert (gauges.pages_private, gauges.running, gauges.waiting) == (0, 0, 0)
        assert gauges.pages_reclaimable == gauges.pages_cached
        assert gauges.adapters_used == 0


def near(one: Any, other: Any) -> bool:
    """Equal, but for numbers a bin or two apart: sums in another order round differently."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 0.004
    return bool(one == other)


def text_of(output: dict[str, Any]) -> str:
    return str(output.get("answer", output.get("caption", "")))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, sprite: Model) -> None:
    """Short captions fail at their third token."""
    consume = CaptionSkill.consume

    def explode(skill: CaptionSkill, token: Any) -> Any:
        if tuple(skill.opening()) == sprite.config.tokenizer.caption["short"] and skill.output_tokens == 2:
            raise RuntimeError("It explodes.")
        return consume(skill, token)

    monkeypatch.setattr(CaptionSkill, "consume", explode)


FAILING = EngineRequest("", SkillRequest("caption", GREEDY, length="short"))


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_p1_any_company_leaves_the_answers_as_they_are(
    serve: Any, images: Any, expected: Any, new_sink: Any, seed: int, depth: int
) -> None:
    draw = random.Random(seed)
    engine = serve(depth=depth, max_batch=draw.choice((3, 8)), pages=draw.choice((1100, 4000)))
    asked: dict[str, tuple[Any, tuple[str, str]]] = {}
    bad = [new_sink() for _ in range(3)]
    for number in range(30):
        what, name = draw.choice(sorted(REQUESTS)), draw.choice(IMAGES)
        sink, request_id = new_sink(), f"r{number}"
        deadline = time.monotonic() + draw.uniform(0, 0.2) if draw.random() < 0.15 else None
        engine.submit(request_for(request_id, what, images[name], deadline=deadline), sink)
        asked[request_id] = sink, (what, name)
        if number % 10 == 5:
            request = replace(FAILING, request_id=f"bad{number}", image=images[name])
            engine.submit(request, bad[number // 10])
        if draw.random() < 0.2:
            engine.cancel(draw.choice(sorted(asked)))
        if draw.random() < 0.2:
            engine.set_depth(draw.choice((1, 2, "auto")))
    done = 0
    for sink, key in asked.values():
        ended = sink.end()
        if isinstance(ended, wire.RequestDone):
            assert near(ended.output, expected[key]), key
            assert sink.text() == text_of(ended.output)
            done += 1
        else:
            assert text_of(expected[key]).startswith(sink.text())
            assert isinstance(ended, wire.RequestCancelled) or ended.error.code == "request_timeout"
    assert done > 15
    assert [sink.end().error.code for sink in bad] == ["internal_error"] * 3
    assert engine.health().state == "ready"


def test_the_second_question_reads_only_its_own_tokens(serve: Any, images: Any, new_sink: Any) -> None:
    engine, sinks = serve(), [new_sink(), new_sink()]
    for number, (what, sink) in enumerate(zip(("caption", "point"), sinks, strict=True)):
        engine.submit(request_for(f"r{number}", what, images["meadow.png"]), sink)
        sink.end()
    first, second = (step for step in engine.steps() if step.kind == "prefill")
    assert second.positions == sinks[1].end().metrics.input_tokens - sinks[1].end().metrics.cached_tokens
    assert second.positions < 10 < 100 < first.positions
    assert sinks[1].end().metrics.preprocess_time_ms is None


def test_a_paused_engine_holds_everybody_and_goes_on(
    serve: Any, images: Any, expected: Any, new_sink: Any
) -> None:
    engine, sink = serve(), new_sink()
    engine.submit(request_for("r", "reasoning", images["meadow.png"]), sink)
    sink.wait_for(wire.ReasoningDelta)
    engine.pause()
    assert engine.health().state == "paused"
    assert (engine.gauges().in_flight, engine.gauges().running) == (0, 1)
    steps = len(engine.steps())
    waiting = new_sink()
    engine.submit(request_for("w", "query", images["meadow.png"]), waiting)
    waiting.wait_for(wire.RequestAccepted)
    assert len(engine.steps()) == steps
    engine.resume()
    assert near(sink.end().output, expected["reasoning", "meadow.png"])
    assert near(waiting.end().output, expected["query", "meadow.png"])


def test_a_restarted_engine_begins_with_an_empty_cache(
    serve: Any, images: Any, expected: Any, new_sink: Any
) -> None:
    engine = serve()
    for number in range(2):
        sink = new_sink()
        engine.submit(request_for(f"r{number}", "query", images["shore.png"]), sink)
        assert near(sink.end().output, expected["query", "shore.png"])
        assert sink.end().metrics.cached_tokens == 0
        engine.restart()
    indices = [step.index for step in engine.steps()]
    assert indices == sorted(set(indices))


def test_an_engine_that_is_to_finish_serves_who_is_there(serve: Any, images: Any, new_sink: Any) -> None:
    engine, sinks = serve(max_batch=2), [new_sink() for _ in range(5)]
    for number, sink in enumerate(sinks):
        engine.submit(request_for(f"r{number}", "caption", images["meadow.png"]), sink)
    engine.shutdown("finish")
    assert all(isinstance(sink.end(), wire.RequestDone) for sink in sinks)
    with pytest.raises(errors.ShuttingDown):
        engine.submit(request_for("late", "caption", images["meadow.png"]), new_sink())
    assert engine.health().state == "stopped"
