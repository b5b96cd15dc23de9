"""Compares whole greedy requests: prompts, every decoded token, hidden states, results, streamed pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.runtime.sampling import masked
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest
from dreamscope.engine.skills.detect import DetectSkill
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.verify.golden import DECODER_TOLERANCE, GoldenSet
from dreamscope.engine.verify.report import Check, close, identical
from dreamscope.engine.verify.tensors import Prefixes
from dreamscope.engine.verify.trace import Forward, Trace, run_traced
from dreamscope.engine.verify.variants import adapter_of, check_gaze_accuracy, prefix_of

Case = dict[str, Any]
NAMES: dict[str, str] = {"detect_gaze": "gaze"}
"""Skills under the name that the published code gives them."""


def check_case(golden: GoldenSet, model: Model, case: Case, prefixes: Prefixes) -> Iterator[Check]:
    """Every quantity of one case."""
    name = f"case.{case['id']}"
    if case.get("prioritize_accuracy"):
        yield from check_gaze_accuracy(golden, model, case, prefixes)
        return
    skill = build_skill(_request(case), model.config.tokenizer, model.tokenizer, per_phase_budget=True)
    adapter = adapter_of(golden, model, case)
    trace = run_traced(model, skill, prefix_of(golden, model, case, prefixes, adapter), adapter)
    yield from _prompts(golden, model, name, case, trace)
    yield from _steps(golden, model, name, case, trace)
    if "bins" in case:
        yield from _objects(golden, model, name, case, trace)
    else:
        yield from _texts(model, name, case, trace)
    yield identical(f"{name}.result", _result(skill), case["result"])


def _request(case: Case) -> SkillRequest:
    known = {key: case[key] for key in ("question", "object", "length", "reasoning") if key in case}
    limits = {key: case[key] for key in ("max_tokens", "max_objects") if key in case}
    refs = tuple(tuple(ref) for ref in case.get("spatial_refs") or ())
    sampling = Sampling(temperature=0.0, top_p=1.0, **limits)
    eye = tuple(case["eye"]) if "eye" in case else None
    skill = NAMES.get(case["skill"]) or case["skill"]
    return SkillRequest(skill, sampling, spatial_refs=refs, eye=eye, **known)


def _prompts(golden: GoldenSet, model: Model, name: str, case: Case, trace: Trace) -> Iterator[Check]:
    """The passes that fed a prompt. A later prompt may share its pass with the token before it."""
    for index, prompt in enumerate(case.get("prompts", ())):  # a gaze prompt was recorded without its ids
        forward = _prompt_pass(trace, index)
        if forward is None:
            yield Check(f"{name}.prompt{index}.tokens", "FAIL", None, "this prompt was never fed")
            continue
        tokens = _ids(model, forward)[-len(prompt["tokens"]) :]
        yield identical(f"{name}.prompt{index}.tokens", tokens, prompt["tokens"])
        yield identical(f"{name}.prompt{index}.end_pos", forward.end, prompt["end_pos"])
        stored = {
            "logits": model.logits(forward.hidden),
            "hidden_last": model.device.numpy(forward.hidden),
        }
        for key, values in stored.items():
            full = f"{name}.prompt{index}.{key}"
            if full in golden.names:
                yield close(full, values, golden.tensor(full), DECODER_TOLERANCE)


def _prompt_pass(trace: Trace, index: int) -> Forward | None:
    """The opening, or the pass that follows the end of the reasoning."""
    if index == 0:
        return trace.forwards[0]
    boundary = _reasoning_end(trace)
    after = trace.decisions[boundary].forward + 1 if boundary is not None else len(trace.forwards)
    return trace.forwards[after] if after < len(trace.forwards) else None


def _steps(golden: GoldenSet, model: Model, name: str, case: Case, trace: Trace) -> Iterator[Check]:
    """Masked logits and hidden states of the first decode steps, and the best token of every step."""
    prompts = [_prompt_pass(trace, index) for index in range(max(1, len(case.get("prompts", ()))))]
    steps = [index for index, forward in enumerate(trace.forwards) if not any(forward is p for p in prompts)]
    masks = {d.forward: d.step for d in trace.decisions if d.step.kind == "text"}
    rows = [model.logits(trace.forwards[index].hidden) for index in steps]
    if "step_argmax" in case:
        yield identical(f"{name}.step_argmax", [int(np.argmax(row)) for row in rows], case["step_argmax"])
    if f"{name}.step_logits" not in golden.names:
        return
    expected = golden.tensor(f"{name}.step_logits")
    hidden = [model.device.numpy(trace.forwards[index].hidden) for index in steps]
    logits = [
        masked(row, masks[index]) if index in masks else _masked_like(row, wanted)
        for row, index, wanted in zip(rows, steps, expected, strict=False)
    ]
    yield close(f"{name}.step_logits", _stack(logits, expected), expected, DECODER_TOLERANCE)
    expected = golden.tensor(f"{name}.step_hidden")
    yield close(f"{name}.step_hidden", _stack(hidden, expected), expected, DECODER_TOLERANCE)


def _texts(model: Model, name: str, case: Case, trace: Trace) -> Iterator[Check]:
    ids = model.config.tokenizer
    boundary = _reasoning_end(trace)
    if case.get("reasoning"):
        spoken = trace.decisions[: (len(trace.decisions) if boundary is None else boundary + 1)]
        words = [d.token.id for d in spoken if isinstance(d.token, Text)]
        stopped = bool(words) and words[-1] == ids.answer_id
        yield identical(
            f"{name}.reasoning_token_ids", words[:-1] if stopped else words, case["reasoning_token_ids"]
        )
        yield identical(
            f"{name}.reasoning_stop", "answer_id" if stopped else "max_tokens", case["reasoning_stop"]
        )
        bins = [d.token.bin for d in spoken if isinstance(d.token, Coord)]
        yield identical(f"{name}.reasoning_coord_bins", bins, case["reasoning_coord_bins"])
    start = 0 if boundary is None else boundary + 1
    answer = [] if case.get("reasoning") and boundary is None else trace.decisions[start:]
    tokens = [d.token.id for d in answer if isinstance(d.token, Text)]
    stopped = bool(tokens) and tokens[-1] == ids.eos_id
    yield identical(f"{name}.token_ids", tokens[:-1] if stopped else tokens, case["token_ids"])
    yield identical(f"{name}.stop", "eos_id" if stopped else "max_tokens", case["stop"])
    chunks = [event.delta for event in trace.events if isinstance(event, wire.TextDelta)]
    yield identical(f"{name}.stream_chunks", chunks, case["stream_chunks"])


def _objects(golden: GoldenSet, model: Model, name: str, case: Case, trace: Trace) -> Iterator[Check]:
    first = trace.decisions[0].token
    if "first_token" in case:
        found = first.id if isinstance(first, Text) else None
        yield identical(f"{name}.first_token", found, case["first_token"])
    bins = []
    for decision in trace.decisions:
        if isinstance(decision.token, Coord):
            bins.append({"kind": "coord", "argmax": [decision.token.bin]})
        elif isinstance(decision.token, Size):
            bins.append({"kind": "size", "argmax": list(decision.token.bins or ())})
    yield identical(f"{name}.bins", bins, case["bins"])
    located = next((d for d in trace.decisions if isinstance(d.token, Coord)), None)
    if f"{name}.bin_logits0" in golden.names and located is not None:
        values = model.coord_logits(trace.forwards[located.forward].hidden)[None]
        yield close(f"{name}.bin_logits0", values, golden.tensor(f"{name}.bin_logits0"), DECODER_TOLERANCE)


def _result(skill: Skill) -> dict[str, Any]:
    """The result in the form of the published code: boxes as decoded, and no count of points."""
    if isinstance(skill, DetectSkill):
        return {"objects": wire.to_json(skill.decoded)}
    result = wire.result_to_json(skill.result())
    result.pop("count", None)
    return result


def _reasoning_end(trace: Trace) -> int | None:
    """Index of the decision that ended the reasoning."""
    for index, decision in enumerate(trace.decisions):
        if any(isinstance(event, wire.ReasoningDone) for event in decision.outcome.events):
            return index
    return None


def _ids(model: Model, forward: Forward) -> list[int]:
    """What was fed as ids, numbers under the id that stands for them."""
    ids = model.config.tokenizer
    kinds = {Coord: ids.coord_id, Size: ids.size_id}
    return [item if isinstance(item, int) else kinds[type(item)] for item in forward.items]


def _masked_like(row: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step that no decision was read from has the mask that was recorded."""
    return np.where(np.isneginf(expected), expected, row)


def _stack(rows: list[NDArray[np.float32]], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """As many rows as were recorded; fewer if the run was shorter, which then fails on the shape."""
    kept = rows[: len(expected)]
    return np.stack(kept) if kept else np.empty((0, *expected.shape[1:]), np.float32)
