"""Adapters and gaze through the engine, against recorded runs of the published code."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.errors import AdapterNotFound
from dreamscope.engine.runtime.adapters import AdapterId, AdapterRegistry
from dreamscope.engine.runtime.engine import Engine, EngineOptions, EngineRequest
from dreamscope.engine.runtime.images import RawImage, decode_image
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.weights.adapter import load_adapter
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "moondream2" / "grid8_gqa"
BROKEN = AdapterId("broken", "1")
RECORDED = AdapterId("recorded", "3")


@functools.cache
def recorded() -> dict[str, Any]:
    return json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))


def case(name: str) -> dict[str, Any]:
    return next(each for each in recorded()["cases"] if each["id"] == name)


def image(name: str) -> RawImage:
    return decode_image((GOLDEN / recorded()["images"][name]["file"]).read_bytes())


@pytest.fixture(scope="module")
def model(device: Device) -> Any:
    files = ModelFiles(GOLDEN / "weights.safetensors", GOLDEN / "tokenizer.json", recorded()["config"])
    return load_files(files, device)


@pytest.fixture
def adapters(model: Any, tmp_path: Path) -> AdapterRegistry:
    for adapter_id, size in ((RECORDED, None), (BROKEN, 5000)):
        place = tmp_path / adapter_id.name / f"{adapter_id.step}.safetensors"
        place.parent.mkdir()
        shutil.copyfile(GOLDEN / "lora.safetensors", place)
        if size is not None:
            place.write_bytes(place.read_bytes()[:size])
    return AdapterRegistry(tmp_path, partial(load_adapter, model=model))


@pytest.fixture
def engine(model: Any, adapters: AdapterRegistry) -> Iterator[Engine]:
    engine = Engine(
        model, wire.ModelInfo("tiny", ("query",)), partial(build_runner, model), adapters=adapters
    )
    engine.start()
    yield engine
    engine.shutdown()


@pytest.fixture
def ask(engine: Engine, new_sink: Any) -> Any:
    count = iter(range(1000))

    def submit(request: SkillRequest, name: str, adapter: AdapterId | None = None) -> Any:
        sink = new_sink()
        engine.submit(EngineRequest(f"r{next(count)}", request, image(name), adapter=adapter), sink)
        return sink

    return submit


def query() -> SkillRequest:
    sampling = Sampling(temperature=0.0, max_tokens=case("lora_query_pil")["max_tokens"])
    return SkillRequest("query", sampling, question=case("lora_query_pil")["question"])


def point() -> SkillRequest:
    sampling = Sampling(temperature=0.0, max_objects=case("lora_point_pil")["max_objects"])
    return SkillRequest("point", sampling, object=case("lora_point_pil")["object"])


def test_an_adapter_acts_on_image_and_prompt(ask: Any) -> None:
    answer = ask(query(), "tall", RECORDED).end()
    assert answer.output == case("lora_query_pil")["result"]
    found = ask(point(), "tall", RECORDED).end()
    assert found.output["points"] == case("lora_point_pil")["result"]["points"]
    assert answer.metrics.cached_tokens == 0
    assert found.metrics.cached_tokens == 65 + 1  # the image, and what all prompts begin with


def test_adapters_do_not_share_a_prefix(ask: Any, engine: Engine) -> None:
    first = [ask(query(), "tall", adapter).end() for adapter in (None, RECORDED)]
    again = [ask(query(), "tall", adapter).end() for adapter in (None, RECORDED)]
    assert first[0].output != first[1].output
    assert [each.output for each in again] == [each.output for each in first]
    known = again[0].metrics.input_tokens - 1
    assert [each.metrics.cached_tokens for each in (*first, *again)] == [0, 0, known, known]
    assert engine.stats()["cached_images"] == 2


def test_a_broken_adapter_fails_its_own_request_only(ask: Any) -> None:
    broken, whole = ask(query(), "tall", BROKEN), ask(query(), "tall", RECORDED)
    failed = broken.end()
    assert isinstance(failed, wire.RequestFailed)
    assert failed.error.code == "adapter_invalid"
    assert "1.safetensors is cut short" in failed.error.message
    assert whole.end().output == case("lora_query_pil")["result"]


def test_an_unknown_adapter_is_refused_at_once(ask: Any) -> None:
    with pytest.raises(AdapterNotFound, match=r"No adapter recorded@4; there are broken@1, recorded@3\."):
        ask(query(), "tall", AdapterId("recorded", "4"))


def test_an_engine_without_adapters_says_so(model: Any, new_sink: Any) -> None:
    engine = Engine(model, wire.ModelInfo("tiny", ("query",)), partial(build_runner, model))
    with pytest.raises(AdapterNotFound, match="without a folder of adapters"):
        engine.submit(EngineRequest("r", query(), adapter=RECORDED), new_sink())
    engine.shutdown()


@pytest.mark.parametrize("name", ["gaze_a", "gaze_b"])
def test_gaze_from_an_eye(ask: Any, name: str) -> None:
    sink = ask(
        SkillRequest("gaze", Sampling(temperature=0.0), eye=tuple(case(name)["eye"])), case(name)["image"]
    )
    done = sink.end()
    assert done.output == case(name)["result"]
    (event,) = sink.of(wire.GazeEvent)
    assert {"x": event.x, "y": event.y} == case(name)["result"]["gaze"]


def gaze_at_face() -> SkillRequest:
    facts = case("gaze_accuracy")
    sampling = Sampling(temperature=0.0, seed=facts["python_random_seed"])
    box = wire.from_json(wire.Box, facts["face"])
    return SkillRequest("gaze", sampling, face=(box.x_min, box.y_min, box.x_max, box.y_max))


def test_gaze_from_a_face_sees_the_mirrored_image(ask: Any, engine: Engine) -> None:
    done = ask(gaze_at_face(), "large").end()
    assert done.output == case("gaze_accuracy")["result"]
    assert done.finish_reason == "stop"
    assert done.metrics.cached_tokens == 0
    assert engine.stats()["prefix_misses"] == engine.stats()["cached_images"] == 2
    again = ask(gaze_at_face(), "large").end().metrics
    assert again.cached_tokens == again.input_tokens - 1
    assert engine.stats()["prefix_hits"] == 2


def test_gaze_works_without_room_for_a_second_image(model: Any, new_sink: Any) -> None:
    options = EngineOptions(pages=90)
    engine = Engine(model, wire.ModelInfo("tiny", ("gaze",)), partial(build_runner, model), options=options)
    engine.start()
    sink = new_sink()
    engine.submit(EngineRequest("r", gaze_at_face(), image("large")), sink)
    assert sink.end().output == case("gaze_accuracy")["result"]
    engine.shutdown()
