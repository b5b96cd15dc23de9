"""The real model with recorded weights: the decode loop and the engine reproduce the published code."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.runtime.engine import Engine, EngineRequest
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.images import RawImage, decode_image
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.detect import DetectSkill, clamp
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "moondream2"
SETS = ("grid27", "grid8_gqa")
RUNS = (("cpu", "grid27"), ("cpu", "grid8_gqa"), ("mlx", "grid8_gqa"))
"""Device and set. Images of the larger set take MLX a minute on a processor; `test_verify` does that once."""
SKILLS = ("query", "caption", "point", "detect")


@functools.cache
def recorded(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "golden.json").read_text(encoding="utf-8"))


def cases(joint_budget: bool = False) -> list[Any]:
    """Recorded runs; with `joint_budget` without those in which the reasoning used up a budget of its own."""
    return [
        pytest.param(device_name, name, case, id=f"{device_name}-{name}-{case['id']}")
        for device_name, name in RUNS
        for case in recorded(name)["cases"]
        if case["skill"] in SKILLS and "variant" not in case
        if not (joint_budget and case.get("reasoning_stop") == "max_tokens")
    ]


@pytest.fixture(scope="module")
def load() -> Any:
    @functools.cache
    def make(device_name: str, name: str) -> Moondream2:
        if device_name == "mlx":
            pytest.importorskip("mlx.core")
        folder = GOLDEN / name
        files = ModelFiles(
            folder / "weights.safetensors", folder / "tokenizer.json", recorded(name)["config"]
        )
        return load_files(files, open_device(device_name, "float32"))

    return make


@pytest.fixture(scope="module")
def engine(load: Any) -> Iterator[Any]:
    made: dict[tuple[str, str], Engine] = {}

    def get(device_name: str, name: str) -> Engine:
        """Loaded by the thread of the tests, and run by a thread of its own."""
        if (device_name, name) not in made:
            model = load(device_name, name)
            made[device_name, name] = Engine(
                model, wire.ModelInfo(name, SKILLS), partial(build_runner, model)
            )
            made[device_name, name].start()
        return made[device_name, name]

    yield get
    for each in made.values():
        each.shutdown()


def request_of(case: dict[str, Any]) -> SkillRequest:
    limits = {key: case[key] for key in ("max_tokens", "max_objects") if key in case}
    return SkillRequest(
        skill=case["skill"],
        sampling=Sampling(temperature=0.0, **limits),
        question=case.get("question") or "",
        object=case.get("object") or "",
        length=case.get("length") or "normal",
        reasoning=bool(case.get("reasoning")),
        spatial_refs=tuple(tuple(ref) for ref in case.get("spatial_refs") or ()),
    )


def image_of(name: str, case: dict[str, Any]) -> RawImage | None:
    if case["image"] is None:
        return None
    return decode_image((GOLDEN / name / recorded(name)["images"][case["image"]]["file"]).read_bytes())


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """The recorded result in the form of the wire: boxes inside the image, points counted."""
    result = dict(case["result"])
    if case["skill"] == "detect":
        result["objects"] = [wire.to_json(clamp(wire.Box(**box))) for box in result["objects"]]
    if case["skill"] == "point":
        result["count"] = len(result["points"])
    return result


@pytest.mark.parametrize(("device_name", "name", "case"), cases())
def test_decode_loop(device_name: str, name: str, case: dict[str, Any], load: Any) -> None:
    model = load(device_name, name)
    skill = build_skill(request_of(case), model.config.tokenizer, model.tokenizer, per_phase_budget=True)
    cache, prompt = model.new_cache(), skill.opening()
    image = image_of(name, case)
    if image is None:
        prompt.insert(0, model.config.tokenizer.bos_id)
    else:
        model.prefill_image(model.encode_image(model.crop(image.rgb)), cache)
    events = [
        event
        for outcome in generate(model, skill, cache, prompt, Sampler(Sampling(temperature=0.0)))
        for event in outcome.events
    ]
    if isinstance(skill, DetectSkill):
        assert [wire.to_json(box) for box in skill.decoded] == case["result"]["objects"]
    assert wire.result_to_json(skill.result()) == expected(case)
    if "stream_chunks" in case:
        assert [e.delta for e in events if isinstance(e, wire.TextDelta)] == case["stream_chunks"]


@pytest.mark.parametrize(("device_name", "name", "case"), cases(joint_budget=True))
def test_engine(device_name: str, name: str, case: dict[str, Any], engine: Any, new_sink: Any) -> None:
    sink = new_sink()
    request = EngineRequest(f"{name}/{case['id']}", request_of(case), image_of(name, case))
    engine(device_name, name).submit(request, sink)
    done = sink.end()
    assert done.output == expected(case)
    tokens = len(case.get("reasoning_token_ids", [])) + len(case.get("token_ids", case.get("bins", [])))
    assert done.metrics.output_tokens == tokens
    assert done.metrics.input_tokens == case["prompts"][0]["end_pos"]


def test_a_seeded_request_does_not_depend_on_its_neighbours(
    device_name: str, engine: Any, new_sink: Any
) -> None:
    name = "grid8_gqa"
    image = image_of(name, {"image": "large"})

    def ask(request_id: str, seed: int | None) -> Any:
        sampling = Sampling(temperature=1.5, top_p=0.95, max_tokens=30, seed=seed)
        request = SkillRequest("query", sampling, question="What?", reasoning=True)
        sink = new_sink()
        engine(device_name, name).submit(EngineRequest(request_id, request, image), sink)
        return sink

    alone = ask("seed-alone", 7).end().output
    crowd = [ask(f"seed-{seed}", seed) for seed in (8, None, 7, 9)]
    outputs = [sink.end().output for sink in crowd]
    assert outputs[2] == alone
    assert all(output != alone for index, output in enumerate(outputs) if index != 2)


def test_the_context_of_the_real_model_ends_with_length(device_name: str, load: Any) -> None:
    model = load(device_name, "grid8_gqa")
    case = {"skill": "query", "question": "go on", "max_tokens": 5000}
    skill = build_skill(request_of(case), model.config.tokenizer, model.tokenizer)
    cache = model.new_cache()
    filler = [30] * (model.config.text.max_context - len(skill.opening()) - 6)
    model.forward(model.embed(filler), cache)
    endless = EndlessText(model)
    outcomes = list(generate(endless, skill, cache, skill.opening(), Sampler(Sampling(temperature=0.0))))
    assert skill.finish_reason == "length"
    assert len(outcomes) == 6
    assert cache.length == model.config.text.max_context - 1


class EndlessText:
    """The model, except that it always goes on."""

    def __init__(self, model: Moondream2) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def logits(self, hidden: Any) -> np.ndarray:
        row = self._model.logits(hidden).copy()
        row[:21] = -np.inf
        return row


def test_images_decode_as_the_recording_saw_them() -> None:
    for name in SETS:
        for entry in recorded(name)["images"].values():
            path = GOLDEN / name / entry["file"]
            rgb = decode_image(path.read_bytes()).rgb
            assert rgb.shape == (entry["height"], entry["width"], 3)
            np.testing.assert_array_equal(rgb, np.asarray(Image.open(path).convert("RGB")))
