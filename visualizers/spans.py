"""Reasoning text with its grounded spans as safe HTML.

Offsets count Unicode code points. Every span becomes one focusable element that shares `data-ground` with
its marks and ends in its number; spaces at its ends stay outside, so that the underline hugs the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamscope.engine.wire import Ground
from dreamscope.visualizers import words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.prose import Prose


def render(prose: Prose, grounding: Sequence[Ground], end: int | None = None, prefix: str = "") -> str:
    """The text up to code point `end`, or all. Spans are taken in order; one that overlaps its predecessor
    or leaves the text is cut to what is left of it, and keeps its number even if no word is. Ids begin with
    `prefix`.
    """
    return "".join(_pieces(prose, grounding, len(prose.text) if end is None else end, prefix))


def _pieces(prose: Prose, grounding: Sequence[Ground], limit: int, prefix: str) -> Iterator[str]:
    cursor = 0
    for index, ground in enumerate(grounding):
        start = min(max(ground.start_idx, cursor), limit)
        end = min(max(ground.end_idx, start), limit)
        yield prose.html(cursor, start)
        yield ground_span(prose, start, end, index, len(ground.points), prefix)
        cursor = end
    yield prose.html(cursor, limit)


def ground_span(prose: Prose, start: int, end: int, index: int, places: int, prefix: str = "") -> str:
    """The span of ground `index` (from 0) around the code points `start` to `end`, with its number."""
    text = prose.text[start:end]
    inner = text.strip()
    first = start + (len(text) - len(text.lstrip()) if inner else len(text))
    last = first + len(inner)
    name = words.ground_name(inner, index + 1, places)
    body = f"{start_tag(prefix, index, name)}{prose.html(first, last)}{end_tag(inner, index + 1)}"
    return f"{prose.html(start, first)}{body}{prose.html(last, end)}"


def end_tag(inner: str, number: int) -> str:
    """The end of a span, with its raised number; words that end in it ("dog 2") already say it."""
    if inner.split()[-1:] == [str(number)]:
        return "</span>"
    return f'<sup class="ground-number" aria-hidden="true">{number}</sup></span>'


def open_span(index: int, prefix: str = "") -> str:
    """The element of ground `index` while its words are still arriving; they are appended into it."""
    return f"{start_tag(prefix, index, words.ground_name('', index + 1, 0), ' open')}</span>"


def start_tag(prefix: str, index: int, name: str, state: str = "") -> str:
    """The beginning of the span of ground `index`; `name` is what a screen reader calls it."""
    tint = colour(index)
    return (
        f'<span class="ground{state}" data-ground="{prefix}g{index}" tabindex="0" role="button"'
        f' aria-label="{escape(name)}" style="--c:{tint.fill};--halo:{tint.halo}">'
    )
