"""Compares whole greedy requests: prompts, every typed token, hidden states, logits, results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest, Step
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.skills.segment import SegmentSkill
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.moondream3.images import TOLERANCE
from dreamscope.engine.verify.report import Check, alike, close, identical
from dreamscope.engine.verify.trace import Decision, RecordingModel, RecordingSkill, Trace

COORDINATE_TOLERANCE = 1e-5
Case = dict[str, Any]


class _NoMoreIds(Exception):
    """A forced run has used up its ids."""


class ForcedSampler(Sampler):
    """Gives recorded ids, whatever the logits and the mask say."""

    def __init__(self, ids: list[int]) -> None:
        super().__init__(Sampling(temperature=0.0))
        self._ids = iter(ids)

    def pick(self, logits: NDArray[np.float32], step: Step) -> int:
        """The next recorded id for a token; numbers are still read from the model."""
        if step.kind != "text":
            return super().pick(logits, step)
        try:
            return next(self._ids)
        except StopIteration:
            raise _NoMoreIds from None


@dataclass(frozen=True, slots=True)
class Typed:
    """A token as the sets record it, the pass that it was read from, and which ids were permitted."""

    values: dict[str, Any]
    forward: int
    allowed: list[int] | None


def check_case(
    golden: GoldenSet, model: Model, name: str, case: Case, prefix: KVCache | None
) -> Iterator[Check]:
    """Every quantity of one case. `prefix` holds the image of the case, if it has one."""
    skill = build_skill(_request(case), model.config.tokenizer, model.tokenizer)
    key, opening = f"case.{name}", skill.opening()
    bos: PromptItem = model.config.tokenizer.bos_id
    prompt = [prompt_item(item) for item in [bos, *opening]]
    yield alike(f"{key}.prompt_tokens", prompt, case["prompt_tokens"], COORDINATE_TOLERANCE)
    if prefix is None:
        cache, opening = model.new_cache(), [bos, *opening]
    else:
        cache = prefix.copy_of_prefix(prefix.length, model.config.text.max_context)
    trace, finish = decode_traced(model, skill, case, cache, opening)
    yield identical(f"{key}.prefill_len", trace.forwards[0].end, case["prefill_len"])
    yield from check_steps(golden, model, name, case, trace)
    yield identical(f"{key}.finish_reason", finish, case["finish_reason"])
    yield alike(f"{key}.output", _output(model, skill, case), case["output"], COORDINATE_TOLERANCE)


def _request(case: Case) -> SkillRequest:
    prompt = dict(case["prompt"])
    refs = tuple(tuple(ref) for ref in prompt.pop("spatial_refs", None) or ())
    sampling = Sampling(**{"temperature": 0.0, "top_p": 1.0, **case["settings"]})
    return SkillRequest(case["skill"], sampling, spatial_refs=refs, **prompt)


def decode_traced(
    model: Model, skill: Skill, case: Case, cache: KVCache, prompt: list[PromptItem]
) -> tuple[Trace, str | None]:
    """Decode greedily, or the recorded ids, after what `cache` holds and `prompt`; and why it ended."""
    trace = Trace()
    recording = RecordingModel(model, trace)
    forced = case.get("forced_ids")
    sampler = Sampler(Sampling(temperature=0.0)) if forced is None else ForcedSampler(forced)
    try:
        for _ in generate(recording, RecordingSkill(skill, trace), cache, prompt, sampler):
            pass
    except _NoMoreIds:
        skill.close("length")
        return trace, "forced_end"
    return trace, skill.finish_reason


def _typed(model: Model, decisions: list[Decision]) -> Iterator[Typed]:
    """Decisions as typed tokens: an id that announces a number and its value are one."""
    ids = model.config.tokenizer
    announced: Decision | None = None
    for decision in decisions:
        token = decision.token
        if isinstance(token, Text):
            if token.id in (ids.coord_id, ids.size_id):
                announced = decision
            else:
                yield Typed({"t": "text", "id": token.id}, decision.forward, _allowed(decision.step, None))
            continue
        step = None if announced is None else announced.step
        announced = None
        values: dict[str, Any]
        if isinstance(token, Coord):
            values = {"t": "coord", "id": ids.coord_id, "bin": token.bin, "value": token.value}
        else:
            w, h = token.bins or (None, None)
            values = {"t": "size", "id": ids.size_id, "w_bin": w, "h_bin": h}
            values |= {"width": token.w, "height": token.h}
        yield Typed(values, decision.forward, _allowed(step, values["id"]))


def _allowed(step: Step | None, implied: int | None) -> list[int] | None:
    """The permitted ids; a number that nothing announced is the only possibility."""
    if step is None:
        return None if implied is None else [implied]
    return None if step.allowed is None else sorted(step.allowed)


def check_steps(golden: GoldenSet, model: Model, name: str, case: Case, trace: Trace) -> Iterator[Check]:
    """Typed tokens, permitted ids, and the hidden states and logits that they were read from."""
    key, steps = f"case.{name}", list(_typed(model, trace.decisions))
    known = ("t", "id", "bin", "value", "w_bin", "h_bin", "width", "height")
    recorded = [{k: v for k, v in step.items() if k in known} for step in case["steps"]]
    yield alike(f"{key}.steps", [step.values for step in steps], recorded, COORDINATE_TOLERANCE)
    allowed = [step.get("allowed") for step in case["steps"]]
    if "forced_ids" not in case:
        yield identical(f"{key}.allowed", [step.allowed for step in steps], allowed)
    hidden = [trace.forwards[step.forward].hidden for step in steps]
    stored = golden.tensor(f"{name}/hidden")
    yield close(f"{key}.hidden", np.stack([model.device.numpy(h) for h in hidden]), stored, TOLERANCE)
    stored = golden.tensor(f"{name}/logits")
    rows = np.stack([model.logits(h) for h in hidden[: len(stored)]])
    yield close(f"{key}.logits", rows, stored, TOLERANCE)


def prompt_item(item: PromptItem) -> dict[str, Any]:
    """An item of a prompt as the sets record it."""
    if isinstance(item, Coord):
        return {"t": "coord", "value": item.value}
    if isinstance(item, Size):
        return {"t": "size", "width": item.w, "height": item.h}
    return {"t": "text", "id": item}


def _output(model: Model, skill: Skill, case: Case) -> dict[str, Any]:
    """The result in the form of the reference."""
    if isinstance(skill, SegmentSkill):
        return {"segments": [_segment(model, skill, case)]}
    result = wire.result_to_json(skill.result())
    result.pop("count", None)
    return result


def _segment(model: Model, skill: SegmentSkill, case: Case) -> dict[str, Any]:
    result = skill.result()
    segment: dict[str, Any] = {
        "object": case["prompt"]["object"],
        "text": model.tokenizer.decode(skill.token_ids).strip(),
        "svg_path": result.path,
        "path_tokens": skill.path_tokens,
        "token_ids": skill.token_ids,
        "points": wire.to_json(skill.points),
        "coarse_path": result.path,
    }
    if result.bbox is not None:
        segment |= {"bbox": wire.to_json(result.bbox), "coarse_bbox": wire.to_json(result.bbox)}
    if skill.sizes:
        segment["sizes"] = [{"width": w, "height": h} for w, h in skill.sizes]
    if result.parse_error is not None:
        segment["parse_error"] = result.parse_error
    return segment
