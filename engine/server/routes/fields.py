"""The fields of a request's body, shared by the routes and their description."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.engine import errors, wire
from dreamscope.engine.server.adapter_choice import IN_SETTINGS
from dreamscope.engine.skills.parse import ALIASES, KNOBS

_NAMES_OBJECT = ("object", "spatial_refs")
_EVERYWHERE = ("image_url", "model", "variant", "settings", "uncertainty", "stream")


@dataclass(frozen=True, slots=True)
class SkillRoute:
    """A native route: the fields of its body, the required ones, and whether `stream` has an effect."""

    skill: str
    fields: tuple[str, ...]
    required: tuple[str, ...]
    streams: bool = True

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/{self.skill}"


SKILL_ROUTES: tuple[SkillRoute, ...] = (
    SkillRoute("caption", ("length", *_EVERYWHERE), ("image_url",)),
    SkillRoute(
        "query",
        ("question", "reasoning", "spatial_refs", "preset", "response_format", *_EVERYWHERE),
        ("question",),
    ),
    SkillRoute("detect", ("object", *_EVERYWHERE), ("image_url", "object"), streams=False),
    SkillRoute("point", (*_NAMES_OBJECT, *_EVERYWHERE), ("image_url", "object"), streams=False),
    SkillRoute("segment", (*_NAMES_OBJECT, *_EVERYWHERE), ("image_url", "object")),
)


def skill_message(body: Mapping[str, Any], route: SkillRoute, request_id: str) -> wire.RequestCreate:
    """The request that a native body makes. Fields that the route does not have are ignored.

    Raises `MissingParameter` or `InvalidParameter` naming the field.
    """
    given = {name: body[name] for name in route.fields if body.get(name) is not None}
    if "object" in route.fields and "object" not in given and body.get("obj") is not None:
        given["object"] = body["obj"]  # the name that Moondream Station has for it
    settings = settings_of(body, given.get("settings", {}))
    return message_of({**given, "settings": settings}, route.skill, request_id)


def message_of(fields: Mapping[str, Any], skill: str, request_id: str) -> wire.RequestCreate:
    """Check the types of the fields. Raises as `skill_message`."""
    try:
        message: wire.RequestCreate = wire.from_json(
            wire.RequestCreate, {**fields, "request_id": request_id, "skill": skill}
        )
    except wire.WireError as error:
        raise errors.from_wire_error(error) from None
    return message


def settings_of(body: Mapping[str, Any], settings: Any, names: Sequence[str] = tuple(KNOBS)) -> Any:
    """The known `settings`; the same `names` at the top level of the body count more.

    Raises `InvalidParameter` for a number that JSON does not know. A wrong type is left to later checks.
    """
    if not isinstance(settings, dict):
        return settings
    above = {name: body[name] for name in names if body.get(name) is not None}
    known = {
        name: value
        for name, value in settings.items()
        if (name in KNOBS or name in ALIASES or name in IN_SETTINGS) and ALIASES.get(name, name) not in above
    }
    merged = {**known, **above}
    for name, value in merged.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise errors.InvalidParameter(f"The setting {name} must be a finite number.", name)
    return merged


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A boolean field, false when absent. Raises `InvalidParameter`."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise errors.InvalidParameter(f"{name} must be true or false, not {type(value).__name__}.", name)
    return bool(value)
