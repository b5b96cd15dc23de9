"""A batch in one page: how often two models agree on many images, by how much they differ, and where.

report = Report(title, skill, prompt, (name, name), items)      # items: one `batch_items.Item` per image
report.html()                                                   # `batch_export` has CSV and JSON


section.batch-report[data-skill]
    h2.batch-title, p.batch-summary                 "Same count on 12 of 20 images."
    figure.agreement > figcaption, table.matrix     rows: the first model, columns: the second;
                                                    td.agree on the diagonal, td[data-n="0"] empty
    figure.histogram > figcaption, svg.bars         `rect.bar` with a <title> each; inline, no script
    p.definition                                    what the figures mean, in words (several)
    ol.batch-images > li.batch-image[data-comparison] > a[href="?view=compare&comparison=ID"]
        img.thumb (src="/api/images/HASH/thumb"), span.batch-name, span.batch-left and span.batch-right
        (each span.batch-model and what it said) or span.batch-trouble, span.disagreement; sorted by
        disagreement, the largest first, what could not be compared last
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dreamscope.visualizers import batch_words
from dreamscope.visualizers.batch_figures import Histogram, Matrix, agrees, histogram_of, matrix_of
from dreamscope.visualizers.batch_items import Item, ItemSide
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import number
from dreamscope.visualizers.labels import shorten

_BAR, _GAP, _HIGH, _FOOT = 28.0, 4.0, 96.0, 16.0
_SHORT_LABEL = 3
_SHOWN_ANSWER = 160
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Report:
    """What a batch came to so far. `names` are what the two columns are called."""

    title: str
    skill: str
    prompt: str
    names: tuple[str, str]
    items: Sequence[Item]

    @cached_property
    def compared(self) -> tuple[Item, ...]:
        """Images with two whole answers, the largest disagreement first, then by name."""
        found = [item for item in self.items if item.compared]
        return tuple(sorted(found, key=lambda item: (-(item.disagreement or 0.0), item.name, item.hash)))

    @property
    def failed(self) -> tuple[Item, ...]:
        """Images that are settled without two answers."""
        return tuple(item for item in self.items if item.failed)

    @property
    def waiting(self) -> int:
        """Images that are not settled."""
        return sum(not item.settled for item in self.items)

    @property
    def agreeing(self) -> int:
        """Images whose answers count as the same."""
        return sum(agrees(item, self.skill) for item in self.compared)

    @property
    def summary(self) -> str:
        """One or a few sentences."""
        counts = (self.agreeing, len(self.compared), len(self.failed), self.waiting)
        return batch_words.summary(self.skill, *counts)

    @property
    def definitions(self) -> tuple[str, ...]:
        """What the figures mean."""
        cut = self.matrix is not None and self.matrix.rest
        more = (batch_words.several_values(len(self.matrix.labels) - 1),) if cut and self.matrix else ()
        return (*batch_words.DEFINITIONS[self.skill], *more, batch_words.NO_TRUTH)

    @cached_property
    def matrix(self) -> Matrix | None:
        """Answers by answers, or counts by counts."""
        return matrix_of(self.compared, self.skill)

    @cached_property
    def histogram(self) -> Histogram | None:
        """The distribution of the differences."""
        return histogram_of(self.compared, self.skill)

    def html(self) -> str:
        """The report as a section of the page."""
        figures = ""
        if self.matrix is not None:
            figures += matrix_html(self.matrix, batch_words.MATRIX[self.skill], self.names)
        if self.histogram is not None:
            figures += histogram_html(self.histogram, batch_words.HISTOGRAM[self.skill])
        said = "".join(f'<p class="definition">{escape(text)}</p>' for text in self.definitions)
        images = "".join(self._image_html(item) for item in (*self.compared, *self.failed))
        return (
            f'<section class="batch-report" data-skill="{escape(self.skill)}">'
            f'<h2 class="batch-title">{escape(self.title or self.prompt or self.skill)}</h2>'
            f'<p class="batch-summary">{escape(self.summary)}</p>'
            f'<div class="batch-figures">{figures}</div>'
            f'<div class="batch-definitions">{said}</div>'
            f'<ol class="batch-images">{images}</ol></section>'
        )

    def _image_html(self, item: Item) -> str:
        name = escape(item.name)
        thumb = ""
        if _HASH.fullmatch(item.hash):
            thumb = f'<img class="thumb" src="/api/images/{item.hash}/thumb" alt="" loading="lazy"/>'
        sides = "".join(
            f'<span class="batch-{side}"><span class="batch-model">{escape(called)}</span> '
            f"{escape(self._said(given))}</span>"
            for side, called, given in zip(("left", "right"), self.names, item.sides, strict=True)
        )
        trouble = f'<span class="batch-trouble">{escape(item.trouble)}</span>' if item.trouble else sides
        body = (
            f'{thumb}<span class="batch-name">{name}</span>{trouble}'
            f'<span class="disagreement">{escape(batch_words.disagreement(item.disagreement))}</span>'
        )
        if item.comparison is None:
            return f'<li class="batch-image"><span class="batch-link">{body}</span></li>'
        kept = escape(item.comparison)
        return (
            f'<li class="batch-image" data-comparison="{kept}">'
            f'<a class="batch-link" href="?view=compare&amp;comparison={kept}">{body}</a></li>'
        )

    def _said(self, side: ItemSide | None) -> str:
        """What a side answered, briefly."""
        if side is None or side.state != "done":
            return (side.error if side else "") or batch_words.NO_ANSWER
        if side.answer is None:
            return batch_words.marks(side.count)
        line = " ".join(side.answer.split()) or batch_words.NO_ANSWER
        return line if len(line) <= _SHOWN_ANSWER else f"{line[: _SHOWN_ANSWER - 1]}…"


def matrix_html(matrix: Matrix, caption: str, names: Sequence[str]) -> str:
    """A table whose rows are the first model's answers and whose columns the second's."""
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in matrix.labels)
    rows = ""
    for i, (label, row) in enumerate(zip(matrix.labels, matrix.cells, strict=True)):
        cells = ""
        for j, count in enumerate(row):
            same = i == j and not (matrix.rest and i == len(matrix.labels) - 1)
            title = escape(batch_words.met(count, label, matrix.labels[j], names))
            kind = ' class="agree"' if same else ""
            cells += f'<td{kind} data-n="{count}" title="{title}">{count}</td>'
        rows += f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'
    corner = escape(f"{shorten(names[0])} ↓ {shorten(names[1])} →")
    return (
        f'<figure class="agreement"><figcaption>{escape(caption)}</figcaption>'
        f'<table class="matrix"><thead><tr><th scope="col">{corner}</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></figure>"
    )


def histogram_html(histogram: Histogram, caption: str) -> str:
    """Bars with their counts above and their labels below: all where there is room, else the outer ones."""
    most, wide = max(histogram.counts) or 1, len(histogram.counts) * (_BAR + _GAP) + _GAP
    foot = _FOOT + _HIGH + 14
    roomy = all(len(label) <= _SHORT_LABEL for label in histogram.labels)
    bars, told = "", []
    for index, (label, count) in enumerate(zip(histogram.labels, histogram.counts, strict=True)):
        left, high = _GAP + index * (_BAR + _GAP), _HIGH * count / most
        middle, top = number(left + _BAR / 2), _FOOT + _HIGH - high
        bars += (
            f'<g><title>{escape(batch_words.bar(count, label))}</title><rect class="bar" x="{number(left)}"'
            f' y="{number(top)}" width="{number(_BAR)}" height="{number(high)}" rx="2"/>'
        )
        if count:
            bars += _text(middle, top - 3, "bar-count", str(count), "middle")
            told.append(batch_words.bar(count, label))
        if roomy:
            bars += _text(middle, foot, "bar-end", label, "middle")
        bars += "</g>"
    if not roomy:
        bars += _text(number(_GAP), foot, "bar-end", histogram.labels[0], "start")
        bars += _text(number(wide - _GAP), foot, "bar-end", histogram.labels[-1], "end")
    return (
        f'<figure class="histogram"><figcaption>{escape(caption)}</figcaption>'
        f'<svg class="bars" viewBox="0 0 {number(wide)} {number(foot + 4)}" role="img"'
        f' aria-label="{escape(". ".join((caption, "; ".join(told))))}">{bars}</svg></figure>'
    )


def _text(x: str, y: float, kind: str, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{number(y)}" text-anchor="{anchor}">{escape(text)}</text>'
