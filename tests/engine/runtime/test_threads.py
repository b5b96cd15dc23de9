"""P10: many threads at once on the simulated device in real time. Nobody hangs, everybody hears one end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.runtime.engine import Engine, EngineOptions, EngineRequest
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.sim_model import SimModel
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.known import config_of

THREADS = 8
SECONDS = 1.0
SAMPLING = Sampling(temperature=0.0, max_tokens=12, max_objects=3)


@pytest.fixture(scope="module")
def simulated() -> SimModel:
    spec = find_model("sprite-2")
    return SimModel(config_of(spec), Tokenizer.load(locate(spec).tokenizer))


@pytest.fixture
def make(simulated: SimModel) -> Callable[..., Engine]:
    def start(**options: Any) -> Engine:
        engine = Engine(
            simulated, wire.ModelInfo("sim", ("query",)), simulated.build, options=EngineOptions(**options)
        )
        engine.start()
        return engine

    return start


def a_request(draw: random.Random, name: str) -> EngineRequest:
    image = RawImage.of(np.full((40, 40, 3), draw.randrange(4), np.uint8))
    asked = draw.choice(
        (
            SkillRequest("query", SAMPLING, question="What?", reasoning=draw.random() < 0.5),
            SkillRequest("point", SAMPLING, object="it"),
            SkillRequest("caption", SAMPLING),
        )
    )
    deadline = time.monotonic() + draw.uniform(0, 0.1) if draw.random() < 0.2 else None
    return EngineRequest(name, asked, draw.choice((None, image)), deadline=deadline)


@pytest.mark.parametrize("mode", ["abort", "finish"])
def test_p10_threads(make: Callable[..., Engine], mode: Any) -> None:
    engine = make(max_batch=4, max_queue=16)
    ends: Counter[str] = Counter()
    accepted: list[str] = []
    stop = threading.Event()

    def deliver(batches: Any) -> None:
        for request_id, events in batches:
            ends[request_id] += sum(isinstance(event, wire.TERMINAL) for event in events)

    def client(number: int) -> None:
        draw, mine = random.Random(number), []
        for count in range(1_000_000):
            if stop.is_set():
                return
            name = f"{number}-{count}"
            try:
                engine.submit(a_request(draw, name), deliver)
            except (errors.QueueFull, errors.ShuttingDown):
                stop.wait(0.01)
                continue
            accepted.append(name)
            mine.append(name)
            if draw.random() < 0.3:
                engine.cancel(draw.choice(mine))
            engine.gauges(), engine.steps(), engine.stats(), engine.health()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    stop.wait(SECONDS)
    enders = [threading.Thread(target=engine.shutdown, args=(mode,)) for _ in range(2)]
    for thread in enders:
        thread.start()
    for thread in enders:
        thread.join(30)
        assert not thread.is_alive()
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert len(accepted) > 20
    assert ends == Counter(dict.fromkeys(accepted, 1))
    gauges = engine.gauges()
    assert (gauges.pages_private, gauges.running, gauges.in_flight) == (0, 0, 0)
    assert gauges.pages_reclaimable == gauges.pages_cached


def test_the_simulated_device_answers_every_skill(make: Callable[..., Engine]) -> None:
    engine, outputs = make(), {}
    ended = threading.Semaphore(0)

    def deliver(batches: Any) -> None:
        for request_id, events in batches:
            if isinstance(events[-1], wire.TERMINAL):
                outputs[request_id] = events[-1]
                ended.release()

    image = RawImage.of(np.zeros((40, 40, 3), np.uint8))
    asked = {
        "query": {"question": "What?", "reasoning": True},
        "caption": {},
        "point": {"object": "it"},
        "detect": {"object": "it"},
        "gaze": {"eye": (0.5, 0.5)},
    }
    for skill, fields in asked.items():
        engine.submit(EngineRequest(skill, SkillRequest(skill, SAMPLING, **fields), image), deliver)
    for _ in asked:
        assert ended.acquire(timeout=20)
    engine.shutdown()
    assert all(isinstance(event, wire.RequestDone) for event in outputs.values())
    assert engine.steps()[0].kind == "prefill"
