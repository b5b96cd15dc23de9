"""What the checks look at: one part of a run, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dreamscope.engine import wire
from dreamscope.visualizers.audit.check import Evidence, Where
from dreamscope.visualizers.audit.nouns import PRONOUNS, noun_of, words_of
from dreamscope.visualizers.audit.numbers import counted_noun
from dreamscope.visualizers.marks import places
from dreamscope.visualizers.record import Part, Picture

_SAME_AGAIN = frozenset({"the", "this", "that", "it", "its", "they", "them", "these", "those"})


@dataclass(frozen=True, slots=True)
class Dot:
    """One point with the id of its mark."""

    ground: str
    x: float
    y: float
    spread: wire.PlaceSpread | None = None
    label: str = ""

    def seen(self) -> Evidence:
        """As evidence."""
        return Evidence(
            f"{self.label} at {self.x:.3f}, {self.y:.3f}".strip(), self.ground, point=(self.x, self.y)
        )


@dataclass(frozen=True, slots=True)
class Span:
    """A grounded span: its words and where they are, its points, the few words before."""

    ground: str
    start: int
    end: int
    text: str
    dots: tuple[Dot, ...]
    before: str = ""

    @property
    def noun(self) -> str:
        """What it speaks of; empty for words that only stand for a noun, like "one" or "it"."""
        noun = noun_of(self.text)
        return "" if noun in PRONOUNS else noun

    @property
    def again(self) -> bool:
        """Whether its words take up something named before: "the dog", "it"."""
        return bool(_SAME_AGAIN & {*words_of(self.before)[-1:], *words_of(self.text)[:1]})

    @property
    def numbered(self) -> bool:
        """Whether it ends in a number, as the items of a list do: "dog 2"."""
        return self.text.split()[-1:] != [] and self.text.split()[-1].isdigit()

    def seen(self) -> Evidence:
        """As evidence: its words and its marks."""
        return Evidence(" ".join(self.text.split()), self.ground, "reasoning", self.start, self.end)


@dataclass(frozen=True, slots=True)
class Found:
    """What the detect run with the id `run` found of a noun."""

    run: str
    boxes: tuple[wire.Box, ...]


@dataclass(frozen=True)
class Case:
    """One part of a run. `found`: what detect found of a noun, for the nouns it was run for."""

    part: Part
    index: int = 0
    picture: Picture | None = None
    found: Mapping[str, Found] = field(default_factory=dict)

    @property
    def skill(self) -> str:
        """What was asked of the model."""
        return self.part.create.skill

    @property
    def question(self) -> str:
        """The words of the question; empty if the skill has none."""
        return self.part.create.question or ""

    @cached_property
    def counted(self) -> str | None:
        """What the question asks the number of, singular."""
        return counted_noun(self.question)

    @cached_property
    def result(self) -> wire.Result:
        """What the model gave, or what had arrived of it."""
        return self.part.result

    @property
    def answer(self) -> str:
        """The words of the answer."""
        match self.result:
            case (
                wire.QueryResult(answer=text)
                | wire.ChatResult(answer=text)
                | wire.CaptionResult(caption=text)
            ):
                return text
            case _:
                return ""

    @property
    def reasoning(self) -> wire.Reasoning | None:
        """The reasoning, if it was asked for."""
        match self.result:
            case wire.QueryResult(reasoning=known) | wire.ChatResult(reasoning=known):
                return known
            case _:
                return None

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The grounded spans that have points, in text order."""
        known = self.reasoning
        return tuple(self._span(nth, ground) for nth, ground in enumerate(known.grounding)) if known else ()

    @cached_property
    def dots(self) -> tuple[Dot, ...]:
        """Every point of the result: those of spans, of the point skill, of gaze."""
        match self.result:
            case wire.PointResult(points=points):
                return tuple(
                    Dot(self.ground(f"p{nth}"), one.x, one.y, one.spread, f"point {nth + 1}")
                    for nth, one in enumerate(points)
                )
            case wire.GazeResult(gaze=wire.Point() as one):
                return (Dot(self.ground("z0"), one.x, one.y, one.spread, "target"),)
            case _:
                return tuple(dot for span in self.spans for dot in span.dots)

    def ground(self, name: str) -> str:
        """The id of a mark in the run: parts after the first are prefixed."""
        return f"{self.index}.{name}" if self.index else name

    def words(self, where: Where, start: int, end: int) -> Evidence:
        """A piece of a text as evidence."""
        known = self.reasoning
        text = {"prompt": self.question, "answer": self.answer, "reasoning": known.text if known else ""}[
            where
        ]
        return Evidence(" ".join(text[start:end].split()) or "–", None, where, start, end)

    def box(self, nth: int, box: wire.Box) -> Evidence:
        """A box of the result as evidence."""
        return Evidence(f"box {nth + 1}", self.ground(f"b{nth}"), box=corners(box))

    def _span(self, nth: int, known: wire.Ground) -> Span:
        assert self.reasoning is not None
        text = self.reasoning.text[max(known.start_idx, 0) : max(known.end_idx, 0)]
        name, label = self.ground(f"g{nth}"), " ".join(text.split())
        dots = tuple(Dot(name, x, y, spread, label) for (x, y), spread in places(known))
        before = self.reasoning.text[max(known.start_idx - 12, 0) : max(known.start_idx, 0)]
        return Span(name, known.start_idx, known.end_idx, text, dots, before)


def seen_box(noun: str, nth: int, box: wire.Box) -> Evidence:
    """A box of a detect run as evidence."""
    return Evidence(f"detected {noun} {nth + 1}", box=corners(box))


def corners(box: wire.Box) -> tuple[float, float, float, float]:
    """A box as four numbers."""
    return box.x_min, box.y_min, box.x_max, box.y_max
