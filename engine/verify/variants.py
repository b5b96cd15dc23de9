"""Cases that need more than one prefix of their image: computed with an adapter, or of the mirrored image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.gaze import GazeSkill, Sample, draw_places
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.report import Check, identical
from dreamscope.engine.verify.tensors import Prefixes
from dreamscope.engine.weights.adapter import load_adapter

Case = dict[str, Any]


def adapter_of(golden: GoldenSet, model: Model, case: Case) -> Adapter | None:
    """The adapter that the case was recorded with."""
    return load_adapter(golden.folder / case["variant"], model) if case.get("variant") else None


def prefix_of(
    golden: GoldenSet, model: Model, case: Case, prefixes: Prefixes, adapter: Adapter | None
) -> KVCache | None:
    """The prefix that the case was recorded on; an image encoded beforehand knew no adapter."""
    image = case["image"]
    if image is None:
        return None
    if adapter is None or not case["prefix_uses_variant"]:
        return prefixes[image]
    return _prefill(model, RawImage(golden.rgb(image), image), adapter)


def check_gaze_accuracy(golden: GoldenSet, model: Model, case: Case, prefixes: Prefixes) -> Iterator[Check]:
    """The draws, every single answer in the coordinates of its view, and what they add up to."""
    name = f"case.{case['id']}"
    box = wire.from_json(wire.Box, case["face"])
    request = SkillRequest(
        "gaze",
        Sampling(temperature=0.0, top_p=1.0, seed=case["python_random_seed"]),
        face=(box.x_min, box.y_min, box.x_max, box.y_max),
    )
    skill = build_skill(request, model.config.tokenizer, model.tokenizer)
    assert isinstance(skill, GazeSkill)
    plain = prefixes[case["image"]]
    mirrored = _prefill(model, RawImage(golden.rgb(case["image"]), case["image"]).mirrored(), None)
    room = plain.length + len(skill.opening()) + skill.max_feed
    views = [prefix.copy_of_prefix(prefix.length, room) for prefix in (plain, mirrored)]
    for _ in generate(model, skill, views[0], skill.opening(), Sampler(request.sampling), mirrored=views[1]):
        pass
    yield identical(f"{name}.uniform_draws", _drawn(request), case["uniform_draws"])
    yield identical(f"{name}.singles", [_single(sample) for sample in skill.samples], case["singles"])
    yield identical(f"{name}.result", wire.result_to_json(skill.result()), case["result"])


def _drawn(request: SkillRequest) -> list[float]:
    """The places in the face, x and y in turn, before any is mirrored."""
    return [value for place in draw_places(request) for value in place]


def _single(sample: Sample) -> dict[str, Any]:
    source = sample.source
    return {"source": [source.x, source.y], "gaze": wire.to_json(sample.target)}


def _prefill(model: Model, image: RawImage, adapter: Adapter | None) -> KVCache:
    cache = model.new_cache()
    model.prefill_image(model.encode_image(model.crop(image.rgb)), cache, adapter)
    return cache
