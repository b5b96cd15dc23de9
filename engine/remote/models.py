"""A model of an endpoint: its entry in the model list, and how it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import UnsupportedParameter
from dreamscope.engine.prices import published_price
from dreamscope.engine.remote import chat_completions, moondream
from dreamscope.engine.remote.checked import BadAnswer, short_text
from dreamscope.engine.remote.endpoints import KIND_SKILLS, Endpoint
from dreamscope.engine.remote.reading import Reading
from dreamscope.engine.skills.base import SkillRequest

UNNAMED = "default"
"""What we call the model of an endpoint that names none; requests to it name none either."""
STATION_SKILLS = ("query", "caption", "point", "detect")
CLOUD_SKILLS = ("query", "caption", "point", "detect", "segment", "chat")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, and what makes events of its answer. `path` follows the endpoint's URL."""

    path: str
    body: dict[str, Any]
    reading: Reading


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """`id` is its name there. `live`: its own list tells of it, so that the endpoint is one of ours, streams
    reasoning as typed events, and says who answers.
    """

    endpoint: Endpoint
    id: str
    info: wire.ModelInfo
    live: bool = False

    def check(self, request: SkillRequest) -> None:
        """Raises `UnsupportedParameter` for what the protocol of this skill cannot say."""
        name = self.endpoint.name
        if self._by_chat(request) and request.spatial_refs:
            raise UnsupportedParameter(
                f"{name} takes no spatial_refs: its protocol has none.", "spatial_refs"
            )
        if not self._by_chat(request) and request.schema is not None:
            raise UnsupportedParameter(
                f"{name} takes no response_format with {request.skill}: its protocol has none.",
                "response_format",
            )

    def call(self, request: SkillRequest, image_urls: Sequence[str], adapter: str | None) -> Call:
        """How to ask; `adapter` is the id of one that the endpoint has. The request is checked."""
        model = None if self.id == UNNAMED else self.id
        if adapter is not None:
            model = f"{model or ''}/{adapter}".lstrip("/")
        if self._by_chat(request):
            body = chat_completions.body_of(request, model, image_urls)
            return Call("/chat/completions", body, chat_completions.ChatReading(request))
        image = image_urls[0] if image_urls else None
        body = moondream.body_of(request, model, image, self.live)
        return Call(f"/{request.skill}", body, moondream.MoondreamReading(request))

    def check_answerer(self, answerer: str | None, body: dict[str, Any]) -> None:
        """Raises `BadAnswer` if another model answers: servers fall back to one that is loaded.

        Only the name from an endpoint's own list is compared; others may be aliases.
        """
        asked = body.get("model")
        if self.live and answerer is not None and asked is not None and answerer.lower() != asked.lower():
            raise BadAnswer(f"{short_text(answerer)} answered in place of {asked}")

    def _by_chat(self, request: SkillRequest) -> bool:
        return self.endpoint.kind == "openai" or request.skill == "chat"


def named(endpoint: Endpoint, model_id: str) -> RemoteModel:
    """A model of which only the name is known; `endpoint.kind` is."""
    assert endpoint.kind is not None
    default = CLOUD_SKILLS if endpoint.is_cloud else STATION_SKILLS
    possible = KIND_SKILLS[endpoint.kind]
    wanted = endpoint.skills or (default if endpoint.kind == "moondream" else possible)
    price = endpoint.price or (published_price(model_id) if endpoint.is_cloud else None)
    info = wire.ModelInfo(
        id=f"{endpoint.name}/{model_id}",
        skills=tuple(skill for skill in possible if skill in wanted),
        name=f"{model_id} at {endpoint.name}",
        description=f"Runs at {endpoint.host}: images and questions are sent there.",
        owned_by=endpoint.name,
        price=price,
    )
    return RemoteModel(endpoint, model_id, info)
