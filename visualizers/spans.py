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


def render(text: str, grounding: Sequence[Ground]) -> str:
    """The whole text. Spans are taken in order; one that overlaps its predecessor or leaves the text is cut
    to what is left of it, and keeps its number even if no word is.
    """
    return "".join(_pieces(text, grounding))


def _pieces(text: str, grounding: Sequence[Ground]) -> Iterator[str]:
    cursor = 0
    for index, ground in enumerate(grounding):
        start = min(max(ground.start_idx, cursor), len(text))
        end = min(max(ground.end_idx, start), len(text))
        yield escape(text[cursor:start])
        yield ground_span(text[start:end], index, len(ground.points))
        cursor = end
    yield escape(text[cursor:])


def ground_span(text: str, index: int, places: int) -> str:
    """The span of ground `index` (from 0) around `text`, with its number."""
    inner = text.strip()
    before = text[: len(text) - len(text.lstrip())] if inner else text
    after = text[len(before) + len(inner) :]
    name = words.ground_name(inner, index + 1, places)
    number = _number(inner, index + 1)
    return f"{escape(before)}{_start(index, name)}{escape(inner)}{number}</span>{escape(after)}"


def _number(inner: str, number: int) -> str:
    """The raised number; words that end in it ("dog 2") already say it."""
    if inner.split()[-1:] == [str(number)]:
        return ""
    return f'<sup class="ground-number" aria-hidden="true">{number}</sup>'


def open_span(index: int) -> str:
    """The element of ground `index` while its words are still arriving; they are appended into it."""
    return f"{_start(index, words.ground_name('', index + 1, 0), ' open')}</span>"


def _start(index: int, name: str, state: str = "") -> str:
    tint = colour(index)
    return (
        f'<span class="ground{state}" data-ground="g{index}" tabindex="0" role="button"'
        f' aria-label="{escape(name)}" style="--c:{tint.fill};--halo:{tint.halo}">'
    )
