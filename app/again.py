"""Requests as the page's `run` message that asks for them again: the way back from `asks.parse_ask`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dreamscope.app.config import FORMATS
from dreamscope.engine import wire

_NAME_OF_FORMAT = {kind: name for name, kind in FORMATS.items() if name != "text"}


def message_of(creates: Sequence[wire.RequestCreate], with_image: bool = True) -> dict[str, Any]:
    """The message of one run from its requests, one or more, in order. Fields that say nothing are left out.

    `with_image`: whether the run was about one. `settings` are numbers, where the page sends the text of its
    fields; both are understood.
    """
    create = creates[0]
    several = len(creates) > 1
    fields: dict[str, Any] = {
        "skill": create.skill,
        "image": None if with_image else False,
        "question": create.question,
        "object": None if several else create.object,
        "objects": [each.object for each in creates] if several else None,
        "length": create.length,
        "model": create.model,
        "variant": create.variant,
        "reasoning": create.reasoning,
        "preset": create.preset,
        **_format(create.response_format),
        "refs": wire.to_json(create.spatial_refs) if create.spatial_refs else None,
        "eye": None if create.eye is None else list(create.eye),
        "face": None if create.face is None else _corners(create.face),
        "force": create.force_detect,
        "settings": create.settings,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _format(asked: dict[str, Any] | None) -> dict[str, Any]:
    """`format` and `schema` of a `response_format`; an unknown one is asked for as text."""
    kind = (asked or {}).get("type", "text")
    if asked is None or kind not in _NAME_OF_FORMAT:
        return {}
    schema = json.dumps(asked["schema"], indent=2) if "schema" in asked else None
    return {"format": _NAME_OF_FORMAT[kind], "schema": schema}


def _corners(box: wire.Box) -> list[float]:
    return [box.x_min, box.y_min, box.x_max, box.y_max]
