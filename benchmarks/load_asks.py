"""What the clients of a load test ask, and what the answers must be.

Everything is asked greedily, so that a server has one answer to it, however busy it is and over whichever
route: it is taken before the load begins, one request after the other.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from PIL import Image
from serving import CAPS, Look, looks

Answer = Mapping[str, Any]
"""The result of a skill and its `finish_reason`, without what differs from time to time."""
_PASSING = ("request_id", "metrics", "chunk", "completed", "type")
TEXTS = {"query": "answer", "caption": "caption", "segment": "path"}
"""The field of a result that its chunks add up to."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One request: the body of its native route, or of OpenAI's for `chat`, and the number of its image."""

    skill: str
    fields: Mapping[str, Any]
    image: int

    @property
    def path(self) -> str:
        """Of the route that takes it."""
        return "/v1/chat/completions" if self.skill == "chat" else f"/v1/{self.skill}"

    @property
    def streams(self) -> bool:
        """Whether the route has a stream for it."""
        return self.skill not in ("point", "detect")

    def body(self, image_url: str, stream: bool = False) -> bytes:
        """For HTTP."""
        fields = dict(self.fields)
        if self.skill == "chat":
            image = {"type": "image_url", "image_url": {"url": image_url}}
            text = {"type": "text", "text": fields.pop("question")}
            fields["messages"] = [{"role": "user", "content": [image, text]}]
        else:
            fields["image_url"] = image_url
        return json.dumps({**fields, "stream": stream}).encode()


@dataclass(frozen=True, slots=True)
class Questions:
    """`images` are data URLs; `asks` are about them, `wanted` are their answers."""

    images: Sequence[str]
    asks: Sequence[Ask]
    wanted: dict[Ask, Answer] = field(default_factory=dict)


def questions(seed: int, images: int, skills: Sequence[str]) -> Questions:
    """About so many drawn scenes, with the skills that a model has."""
    drawn = list(islice(looks(seed), images))
    asks = [ask for number, look in enumerate(drawn) for ask in _about(look, number) if ask.skill in skills]
    return Questions([_data_url(look) for look in drawn], asks)


def answer_of(ask: Ask, told: Mapping[str, Any]) -> Answer:
    """Of the JSON of a plain answer, or of the last event of a native stream."""
    if ask.skill != "chat":
        return {name: value for name, value in told.items() if name not in _PASSING}
    (choice,) = told["choices"]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


def _about(look: Look, image: int) -> Iterator[Ask]:
    greedy = {"settings": {"temperature": 0, "max_tokens": CAPS[True]}}
    short = {"settings": {"temperature": 0, "max_tokens": CAPS[False]}}
    thing = look.thing
    yield Ask("query", {"question": f"How many {thing}s are there?", **short}, image)
    yield Ask(
        "query", {"question": f"What is to the left of the {thing}?", "reasoning": True, **greedy}, image
    )
    yield Ask("caption", {"length": "short", **greedy}, image)
    yield Ask("caption", {"length": "long", **greedy}, image)
    yield Ask("point", {"object": thing, **greedy}, image)
    yield Ask("detect", {"object": thing, **greedy}, image)
    yield Ask("segment", {"object": thing, **greedy}, image)
    yield Ask(
        "chat", {"question": f"How many {thing}s are there?", "temperature": 0, "max_tokens": 24}, image
    )


def _data_url(look: Look) -> str:
    stream = io.BytesIO()
    Image.fromarray(look.image.rgb).save(stream, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
