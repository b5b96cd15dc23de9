"""The strip between compared columns: how many marks they share and how many are only in one, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dreamscope.visualizers import compare_words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.matching import DISTANCE, IOU


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one column shares with another; `counts` are matched, only left, only right; `silent` the names of
    those that did not answer.
    """

    left: int
    right: int
    names: tuple[str, str]
    silent: tuple[str, ...]
    several: bool
    comparable: bool
    kinds: tuple[str, ...]
    named: bool
    counts: tuple[int, int, int]
    mask_iou: float | None
    shared_words: float | None

    @property
    def text(self) -> str:
        """`3 matched · 1 only in Sprite 2 · 0 only in Sprite 3`."""
        said = " · ".join(text for _, text in self._pieces())
        return f"{compare_words.between(*self.names)}: {said}" if self.several else said

    @property
    def definition(self) -> str:
        """When two marks count as one, in sentences; empty without marks."""
        sorts = dict.fromkeys(kind if kind in ("box", "mask") else "place" for kind in self.kinds)
        said = [compare_words.HOW_MATCHED[sort].format(iou=IOU, distance=DISTANCE) for sort in sorts]
        if said:
            said.append(compare_words.BEST_IN_TOTAL)
        if said and self.named:
            said.append(compare_words.SAME_NAMES)
        return " ".join(said)

    def html(self) -> str:
        """One paragraph, with the definition as its title."""
        name = ""
        if self.several:
            name = f'<span class="between-name">{escape(compare_words.between(*self.names))}</span> '
        said = " · ".join(f'<b class="{kind}">{escape(text)}</b>' for kind, text in self._pieces())
        return (
            f'<p class="between" data-left="{self.left}" data-right="{self.right}"'
            f' title="{escape(self.definition)}">{name}{said}</p>'
        )

    def _pieces(self) -> Iterator[tuple[str, str]]:
        """Class and text of what is said."""
        matched, left, right = self.counts
        if self.silent:
            yield "not-matched", compare_words.silent(self.silent)
        elif not self.comparable:
            yield "not-matched", compare_words.OTHER_IMAGE
        elif self.kinds:
            yield "matched", compare_words.matched(matched)
            yield "only-left", compare_words.only_in(left, self.names[0])
            yield "only-right", compare_words.only_in(right, self.names[1])
        elif self.shared_words is None:
            yield "not-matched", compare_words.NO_PLACES
        if self.mask_iou is not None:
            yield "mask-iou", compare_words.mask_overlap(self.mask_iou)
        if self.shared_words is not None:
            yield "shared-words", compare_words.shared_words(self.shared_words)


def strip_html(lines: Sequence[Line]) -> str:
    """All lines."""
    return f'<div class="compare-strip">{"".join(line.html() for line in lines)}</div>'
