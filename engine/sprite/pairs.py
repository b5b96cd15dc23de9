"""What a training or evaluation example is made of.

A pair is a prompt and a target made of items: text, control tokens, places and sizes. Grounded text puts the
coordinates first inside the span, so that the place is decided before the word is written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamscope.engine.sprite.scenes import SceneObject

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Place:
    """Two coordinate tokens, fractions."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Extent:
    """One size token, fractions."""

    w: float
    h: float


@dataclass(frozen=True, slots=True)
class Span:
    """A grounded span: marker, place, text, end marker."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """The words of an outline, one token each."""

    words: tuple[str, ...]


Item = str | Place | Extent | Span | Path


@dataclass(frozen=True, slots=True)
class Pair:
    """One training or evaluation example. `argument` is the question, the object or the caption length."""

    task: str  # caption, point, detect, segment, query, reason
    argument: str
    target: tuple[Item, ...]
    reasoning: tuple[Item, ...] = ()
    kind: str = ""
    references: tuple[Place | Extent, ...] = ()  # the place that the prompt refers to


def pick(rng: Rng, *choices: str) -> str:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def span(item: SceneObject, text: str) -> Span:
    """Grounded text at the centre of an object."""
    return Span(Place(*item.center), f" {text}")


def spans(items: list[SceneObject]) -> list[Item]:
    """ " dog 1", " dog 2": numbered, separated by commas; a single object has no number."""
    out: list[Item] = []
    for number, item in enumerate(items, 1):
        if out:
            out.append(",")
        out.append(span(item, f"{item.name} {number}" if len(items) > 1 else item.name))
    return out


def answer_pair(
    question: str,
    answer: str,
    reasoning: list[Item],
    grounded: bool,
    kind: str,
    references: tuple[Place | Extent, ...] = (),
) -> Pair:
    """A question whose answer comes directly or after the reasoning."""
    task = "reason" if grounded else "query"
    return Pair(task, question, (answer,), tuple(reasoning) if grounded else (), kind, references)
