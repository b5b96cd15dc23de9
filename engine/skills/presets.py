"""Ready-made requests and the prompt that goes with each form of answer: `presets.json` beside this file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from dreamscope.engine import wire
from dreamscope.engine.errors import InvalidParameter

_FIELDS = ("question", "reasoning", "response_format")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The file. `formats`: what is added to the prompt for each type of `response_format`."""

    formats: Mapping[str, str]
    presets: tuple[wire.Preset, ...]

    def find(self, name: str) -> wire.Preset:
        """The preset of this id. Raises `InvalidParameter` listing them."""
        for preset in self.presets:
            if preset.id == name:
                return preset
        known = ", ".join(preset.id for preset in self.presets)
        raise InvalidParameter(f"No preset {name!r:.40}; there are {known}.", "preset")


@cache
def catalogue() -> Catalogue:
    """The presets that come with the package, read once."""
    data = json.loads(files("dreamscope.engine.skills").joinpath("presets.json").read_text("utf-8"))
    presets = tuple(wire.from_json(wire.Preset, each) for each in data["presets"])
    return Catalogue(MappingProxyType(data["formats"]), presets)


def apply_preset(create: wire.RequestCreate) -> wire.RequestCreate:
    """The request with the fields of its preset filled in where it has none of its own.

    Raises `InvalidParameter` for an unknown preset, or one of another skill.
    """
    if create.preset is None:
        return create
    preset = catalogue().find(create.preset)
    if preset.skill != create.skill:
        raise InvalidParameter(
            f"The preset {preset.id} is for the skill {preset.skill}, not {create.skill!r:.40}.", "preset"
        )
    absent = {name: getattr(preset, name) for name in _FIELDS if getattr(create, name) is None}
    return replace(create, preset=None, **absent)


def with_instruction(prompt: str, kind: str) -> str:
    """The prompt, and below it how the answer shall look if `kind`, a type of format, says so."""
    instruction = catalogue().formats.get(kind)
    return "\n\n".join(part for part in (prompt, instruction) if part)
