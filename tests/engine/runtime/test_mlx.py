"""Every skill of both families through the engine, on MLX and on PyTorch: the same greedy tokens."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.models.base import Model
from dreamscope.engine.runtime.engine import Engine
from dreamscope.engine.runtime.images import RawImage, decode_image
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.runtime.sequential import SequentialEngine
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files, load_model

ROOT = Path(__file__).parents[3]
SCENES = ROOT / "static" / "scenes"
GOLDEN3 = ROOT / "tests" / "data" / "golden" / "moondream3" / "tiny_a"
SPRITE = "sprite-2"
TINY3 = "tiny-3"
"""Random numbers in the shape of Moondream 3, with experts of four bits."""
GREEDY = Sampling(temperature=0.0, max_tokens=40, max_objects=4, seed=3)
FACE = (0.3, 0.2, 0.5, 0.5)

Ask = Callable[[str, str, SkillRequest, RawImage | None], Any]


def _request(skill: str, **fields: Any) -> SkillRequest:
    return SkillRequest(skill, GREEDY, **fields)


REQUESTS = {
    "query": _request("query", question="How many dogs are there?"),
    "reasoning": _request("query", question="How many dogs are there?", reasoning=True),
    "caption": _request("caption", length="normal"),
    "short caption": _request("caption", length="short"),
    "point": _request("point", object="tree"),
    "detect": _request("detect", object="house"),
    "gaze of an eye": _request("gaze", eye=(0.4, 0.4)),
    "gaze of a face": _request("gaze", face=FACE),
}
SCENE_REQUESTS = {"query": "question", "detect": "object", "point": "object", "caption": "length"}


def _load(name: str, device_name: str) -> Model:
    device = open_device(device_name, "float32")
    if name == SPRITE:
        return load_model(SPRITE, device)
    config = json.loads((GOLDEN3 / "config.json").read_text(encoding="utf-8"))
    weights = GOLDEN3 / "weights_mlx_int4.safetensors"
    return load_files(ModelFiles(weights, GOLDEN3 / "tokenizer.json", config), device)


@pytest.fixture(scope="module")
def engine_of() -> Iterator[Callable[[str, str], Engine]]:
    """Loaded by the thread of the tests, and run by a thread of its own."""
    pytest.importorskip("mlx.core")
    made: dict[tuple[str, str], Engine] = {}

    def get(name: str, device_name: str) -> Engine:
        key = (name, device_name)
        if key not in made:
            model = _load(name, device_name)
            build = functools.partial(build_runner, model)
            made[key] = Engine(model, wire.ModelInfo(name, ("query",)), build)
            made[key].start()
        return made[key]

    yield get
    for engine in made.values():
        engine.shutdown()


@pytest.fixture
def ask(engine_of: Callable[[str, str], Engine], new_sink: Any) -> Ask:
    count = iter(range(1000))

    def submit(name: str, device_name: str, request: SkillRequest, image: RawImage | None) -> Any:
        sink = new_sink()
        engine_of(name, device_name).submit(EngineRequest(f"r{next(count)}", request, image), sink)
        return sink

    return submit


@functools.cache
def scene(name: str) -> RawImage:
    return decode_image((SCENES / name).read_bytes())


@functools.cache
def tiny_image() -> RawImage:
    return decode_image((GOLDEN3 / "images" / "1.png").read_bytes())


def _told(sink: Any) -> list[dict[str, Any]]:
    """The events that carry what was found, without their moments."""
    timed = ("t", "seq", "request_id")
    kinds = (wire.RequestAccepted, wire.RequestStarted, *wire.TERMINAL)
    return [
        {key: value for key, value in wire.to_json(event).items() if key not in timed}
        for event in sink.events
        if not isinstance(event, kinds)
    ]


def _same(ask: Ask, name: str, request: SkillRequest, image: RawImage | None) -> Any:
    """The result on MLX, after comparing it with the one on PyTorch."""
    sinks = [ask(name, device_name, request, image) for device_name in ("cpu", "mlx")]
    torch_end, mlx_end = (sink.end() for sink in sinks)
    assert isinstance(mlx_end, wire.RequestDone)
    assert mlx_end.output == torch_end.output
    assert mlx_end.finish_reason == torch_end.finish_reason
    assert mlx_end.metrics.output_tokens == torch_end.metrics.output_tokens > 0
    assert _told(sinks[1]) == _told(sinks[0])
    return mlx_end


@pytest.mark.parametrize("what", list(REQUESTS))
def test_every_skill_of_the_sprite(ask: Ask, what: str) -> None:
    done = _same(ask, SPRITE, REQUESTS[what], scene("meadow.png"))
    if what == "query":
        assert done.output["answer"] == "3"
    if what in ("point", "detect"):
        assert done.metrics.output_tokens > 1


@pytest.mark.parametrize("entry", json.loads((SCENES / "scenes.json").read_text(encoding="utf-8")))
def test_the_example_scenes(ask: Ask, entry: dict[str, str]) -> None:
    request = _request(entry["skill"], **{SCENE_REQUESTS[entry["skill"]]: entry["question"]})
    _same(ask, SPRITE, request, scene(entry["file"]))


@pytest.mark.parametrize("what", [*REQUESTS, "segment", "segment from references", "text only"])
def test_every_skill_in_the_shape_of_moondream_3(ask: Ask, what: str) -> None:
    refs = ((0.3, 0.3, 0.7, 0.8), (0.2, 0.6))
    others = {
        "segment": _request("segment", object="cat"),
        "segment from references": _request("segment", object="cat", spatial_refs=refs),
        "text only": REQUESTS["query"],
    }
    request = {**REQUESTS, **others}[what]
    done = _same(ask, TINY3, request, None if what == "text only" else tiny_image())
    if what.startswith("segment"):
        assert "path" in done.output


def test_the_second_question_finds_the_image(ask: Ask, engine_of: Callable[[str, str], Engine]) -> None:
    image = scene("shore.png")
    ask(SPRITE, "mlx", REQUESTS["caption"], image).end()
    hits = engine_of(SPRITE, "mlx").stats()["prefix_hits"]
    again = ask(SPRITE, "mlx", REQUESTS["point"], image).end()
    assert again.metrics.cached_tokens > 1
    assert engine_of(SPRITE, "mlx").stats()["prefix_hits"] == hits + 1


def test_two_models_answer_at_the_same_time(ask: Ask) -> None:
    """Each on the thread of its engine, as two Sprites do."""
    pairs = [(SPRITE, scene("meadow.png")), (TINY3, tiny_image())]
    alone = [ask(name, "mlx", REQUESTS["reasoning"], image).end().output for name, image in pairs]
    sinks = [ask(name, "mlx", REQUESTS["reasoning"], image) for _ in range(3) for name, image in pairs]
    assert [sink.end().output for sink in sinks] == alone * 3


def test_submitting_early_changes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plain loop, which has no other way to let the device begin before the host asks for a token."""
    pytest.importorskip("mlx.core")
    from dreamscope.engine.devices.mlx_ops import MlxDevice

    submitted: list[int] = []
    submit = MlxDevice.submit

    def counted(self: MlxDevice, *results: Any) -> None:
        submitted.append(len(results))
        submit(self, *results)

    engine = SequentialEngine(_load(SPRITE, "mlx"))
    request = EngineRequest("r", REQUESTS["reasoning"], scene("picnic.png"))
    monkeypatch.setattr(MlxDevice, "submit", counted)
    early = engine.ask(request)
    assert len(submitted) >= early.output_tokens - 1  # every fed token started at once
    monkeypatch.setattr(MlxDevice, "submit", lambda self, *results: None)
    assert engine.ask(request).result() == early.result()
