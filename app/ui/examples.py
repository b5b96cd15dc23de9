"""The example scenes that ship in `static/scenes`: which exist, what to ask about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Example:
    """One scene: file name, description for people who cannot see it, and what to ask first.

    `question` is the question, the name to point at, find or outline, the length of the caption, or the eye
    whose gaze is asked for, as `x,y` in fractions of the image.
    """

    file: str
    alt: str
    question: str
    skill: str = "query"


def scenes_folder() -> Traversable:
    """Where the scene files lie, also in an installed wheel."""
    return files("dreamscope.static").joinpath("scenes")


def load_examples() -> tuple[Example, ...]:
    """The scenes of `scenes.json`, in order. Raises `ValueError` when an entry does not fit."""
    entries = json.loads(scenes_folder().joinpath("scenes.json").read_text("utf-8"))
    try:
        return tuple(Example(**entry) for entry in entries)
    except TypeError as error:
        raise ValueError(f"scenes.json has an entry that is not an example: {error}") from None


def example_bytes(name: str, examples: tuple[Example, ...]) -> bytes | None:
    """The file of one listed example, or `None` for any other name."""
    if all(name != example.file for example in examples):
        return None
    return scenes_folder().joinpath(name).read_bytes()
