"""Compares conversations: their rendering with images in it, and the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dreamscope.engine.models.base import Model
from dreamscope.engine.models.tokens import Picture, PromptItem
from dreamscope.engine.results import QueryResult
from dreamscope.engine.runtime.pictures import prefill_pictures
from dreamscope.engine.skills.base import ChatMessage, Sampling, Skill, SkillRequest
from dreamscope.engine.skills.chat import render_chat
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.moondream3.cases import (
    COORDINATE_TOLERANCE,
    Case,
    check_steps,
    decode_traced,
    prompt_item,
)
from dreamscope.engine.verify.report import Check, alike, identical
from dreamscope.engine.wire import to_json


def check_chat(golden: GoldenSet, model: Model, name: str, case: Case) -> Iterator[Check]:
    """Every quantity of one conversation."""
    key, reasoning = f"case.{name}", case["prompt"]["reasoning"]
    items = render_chat(list(_messages(case)), model.config.tokenizer, model.tokenizer, reasoning)
    yield alike(
        f"{key}.prompt_tokens", [_item(i) for i in items], case["prompt_tokens"], COORDINATE_TOLERANCE
    )
    files = [entry["file"] for entry in golden.data["images"]]
    indices = [files.index(url) for url in _urls(case)]
    rows = [model.encode_image(model.crop(golden.rgb(index))) for index in indices]
    cache = model.new_cache()
    rest = prefill_pictures(model, items, rows.__getitem__, cache)
    sampling = Sampling(**{"top_p": 1.0, **case["settings"]})
    request = SkillRequest("query", sampling, question="-", reasoning=reasoning)
    skill = build_skill(request, model.config.tokenizer, model.tokenizer)
    trace, finish = decode_traced(model, skill, case, cache, rest)
    yield identical(f"{key}.prefill_len", trace.forwards[0].end, case["prefill_len"])
    yield from check_steps(golden, model, name, case, trace)
    yield identical(f"{key}.finish_reason", finish, case["finish_reason"])
    yield alike(f"{key}.output", _output(skill, finish), case["output"], COORDINATE_TOLERANCE)


def _messages(case: Case) -> Iterator[ChatMessage]:
    for message in case["prompt"]["messages"]:
        parts = _parts(message)
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        yield ChatMessage(message["role"], text, sum(part["type"] == "image_url" for part in parts))


def _urls(case: Case) -> Iterator[str]:
    for message in case["prompt"]["messages"]:
        yield from (part["image_url"]["url"] for part in _parts(message) if part["type"] == "image_url")


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _item(item: PromptItem | Picture) -> dict[str, Any]:
    return {"t": "image", "index": item.index} if isinstance(item, Picture) else prompt_item(item)


def _output(skill: Skill, finish: str | None) -> dict[str, Any]:
    """The result in the form of the reference."""
    result = skill.result()
    assert isinstance(result, QueryResult)
    message: dict[str, Any] = {"role": "assistant", "content": result.answer}
    if result.reasoning is not None:
        message["reasoning"] = result.reasoning.text
        if result.reasoning.grounding:
            message["reasoning_details"] = {"grounding": to_json(result.reasoning.grounding)}
    return {"message": message, "finish_reason": finish}
