"""Conversations through the whole engine: the recorded ones, the image cache, and what does not fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.errors import ContextLengthExceeded, InvalidParameter, TooManyImages
from dreamscope.engine.models.base import Model
from dreamscope.engine.runtime.engine import Engine
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.skills.base import ChatMessage, Sampling, SkillRequest
from dreamscope.engine.verify.golden import GoldenSet, open_golden
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
SETS = {"moondream2": "moondream2/grid8_gqa", "moondream3": "moondream3/tiny_a"}
SHORT = Sampling(temperature=0.0, max_tokens=6)


@functools.cache
def golden(family: str) -> GoldenSet:
    return open_golden(GOLDEN / SETS[family])


@functools.cache
def load(family: str) -> Model:
    folder, config = golden(family).folder, {"config": golden(family).data["config"]}
    files = ModelFiles(folder / "weights.safetensors", folder / "tokenizer.json", config)
    return load_files(files, open_device("cpu", "float32"))


def image(family: str, index: int) -> RawImage:
    names = list(golden(family).data["images"])
    key = index if isinstance(names[0], dict) else names[index]
    return RawImage(golden(family).rgb(key), f"image {index}")


def user(text: str, images: int = 0) -> ChatMessage:
    return ChatMessage("user", text, images)


class Talk:
    """An engine and short ways to talk to it."""

    def __init__(self, family: str, new_sink: Any) -> None:
        self.family = family
        build = functools.partial(build_runner, load(family))
        self.engine = Engine(load(family), wire.ModelInfo(family, ("chat", "query")), build)
        self.engine.start()
        self._new_sink = new_sink
        self._count = 0

    def say(
        self,
        *messages: ChatMessage,
        images: tuple[int, ...] = (),
        sampling: Sampling = SHORT,
        **fields: bool,
    ) -> Any:
        """The events of one conversation."""
        asked = SkillRequest("chat", sampling, messages=messages, **fields)
        return self.submit(
            EngineRequest("", asked, images=tuple(image(self.family, index) for index in images))
        )

    def submit(self, request: EngineRequest) -> Any:
        self._count += 1
        sink = self._new_sink()
        self.engine.submit(replace(request, request_id=f"r{self._count}"), sink)
        sink.end()
        return sink


@pytest.fixture
def talk(new_sink: Any) -> Iterator[Any]:
    made: list[Talk] = []

    def make(family: str) -> Talk:
        made.append(Talk(family, new_sink))
        return made[-1]

    yield make
    for each in made:
        each.engine.shutdown()


def recorded(name: str) -> dict[str, Any]:
    cases = golden("moondream3").data["cases"]
    found = cases[name] if isinstance(cases, dict) else next(c for c in cases if c["name"] == name)
    return dict(found)


@pytest.mark.parametrize("name", ["chat_direct", "chat_reasoning"])
def test_recorded_conversations(talk: Any, name: str) -> None:
    case = recorded(name)
    messages = []
    for message in case["prompt"]["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        pictures = sum(part["type"] != "text" for part in parts)
        messages.append(ChatMessage(message["role"], text, pictures))
    sampling = Sampling(top_p=1.0, **case["settings"])
    conversation = talk("moondream3")
    for cached in (0, case["prefill_len"] - 1):  # the second time, all is known but the last position
        sink = conversation.say(
            *messages, images=(0, 1), sampling=sampling, reasoning=case["prompt"]["reasoning"]
        )
        end, wanted = sink.end(), case["output"]["message"]
        assert end.output["answer"] == wanted["content"]
        assert end.output.get("reasoning", {}).get("text") == wanted.get("reasoning")
        assert end.finish_reason == case["finish_reason"]
        assert end.metrics.input_tokens == case["prefill_len"]
        assert end.metrics.cached_tokens == cached
        started = sink.of(wire.RequestStarted)[0]
        assert (started.input_tokens, started.cached_tokens) == (case["prefill_len"], cached)
        assert started.image is None  # there are two


def test_one_image_at_the_beginning_is_the_prefix_of_a_query(talk: Any) -> None:
    conversation = talk("moondream2")
    asked = SkillRequest("query", SHORT, question="is it red?")
    query = conversation.submit(EngineRequest("", asked, image("moondream2", 0)))
    sink = conversation.say(user("is it red?", 1), images=(0,))
    assert sink.end().output == query.end().output
    assert sink.text() == sink.end().output["answer"]
    assert sink.end().metrics.cached_tokens == sink.end().metrics.input_tokens - 1
    assert sink.of(wire.RequestStarted)[0].image == query.of(wire.RequestStarted)[0].image


def test_one_image_later_on_is_told_about(talk: Any) -> None:
    sink = talk("moondream3").say(user("hello"), user("is it red?", 1), images=(1,))
    started, rgb = sink.of(wire.RequestStarted)[0], image("moondream3", 1).rgb
    assert (started.image.height, started.image.width) == rgb.shape[:2]
    assert started.cached_tokens == 0
    assert sink.end().metrics.image_time_ms > 0


def test_every_image_matters(talk: Any) -> None:
    conversation = talk("moondream3")
    messages = (user("what is it?", 1), user("and this?", 1))
    answers = [
        conversation.say(*messages, images=indices, uncertainty=True).end().output
        for indices in ((0, 1), (1, 0), (0, 0), (0, 1))
    ]
    assert answers[3]["answer"] == answers[0]["answer"]
    assert np.array(answers[3]["probs"]) == pytest.approx(np.array(answers[0]["probs"]), rel=1e-4)
    assert all(answers[i] != answers[j] for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_conversation_without_images(talk: Any) -> None:
    for family in SETS:
        end = talk(family).say(user("hello"), ChatMessage("assistant", "hi"), user("and?")).end()
        assert isinstance(end, wire.RequestDone)
        assert wire.result_from_json("chat", end.output) == wire.ChatResult(end.output["answer"])


def test_what_the_model_cannot_take_is_refused_before_it_is_queued(talk: Any) -> None:
    old, new = talk("moondream2"), talk("moondream3")
    with pytest.raises(TooManyImages):
        old.say(user("a", 2), images=(0, 0))
    with pytest.raises(InvalidParameter):
        old.say(user("a"), user("b", 1), images=(0,))
    with pytest.raises(ContextLengthExceeded) as caught:
        new.say(user("a", 6), images=(0,) * 6)
    assert caught.value.param == "messages"
