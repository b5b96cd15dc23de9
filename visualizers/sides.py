"""What each column of a comparison is called, what was measured there, and what it cost.

Waiting, for a model or for another column, is told apart from the times: see `timing`. A run of several parts
is several requests side by side: their tokens are added up, the first token is that of the part that had one
first, the total ends with the part that took longest, and there is no single speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.visualizers import compare_words, words
from dreamscope.visualizers.cost import Cost, cost_of
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.facts import model_name
from dreamscope.visualizers.places import places_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.timing import Timing, timing_of

LETTERS = "ABCD"
"""What the page calls the columns."""
SHORT_WAIT_MS = 10.0
"""Waiting below this is not worth a line."""


@dataclass(frozen=True, slots=True)
class Side:
    """The facts of one column, `None` where nothing was measured; `cached` counts the tokens that were known
    from an earlier request on the image, which makes a first token early; `spans` are the grounds of
    spans with marks, in order.
    """

    column: int
    run: str
    name: str
    state: str
    timing: Timing
    tokens: int | None
    cached: int | None
    tokens_per_second: float | None
    count: int | None
    cost: Cost | None
    spans: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All facts, the column as text; times without waiting, in milliseconds."""
        return {
            "column": str(self.column),
            "run": self.run,
            "name": self.name,
            "state": self.state,
            "waited_ms": self.timing.waited_ms,
            "ttft_ms": self.timing.first_token_ms,
            "total_ms": self.timing.total_ms,
            "tokens": self.tokens,
            "cached_tokens": self.cached,
            "tokens_per_second": self.tokens_per_second,
            "count": self.count,
            "cost": self.cost.to_json() if self.cost else None,
        }

    def html(self) -> str:
        """A `dl.facts`; what does not apply is left out, what was not measured is a dash."""
        rows = (
            f'<div title="{escape(title)}"><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>'
            for term, value, title in self._facts()
        )
        return f'<dl class="facts" data-column="{self.column}">{"".join(rows)}</dl>'

    def _facts(self) -> Iterator[tuple[str, str, str]]:
        """Term, value and explanation."""
        timing = self.timing
        yield "First token", words.milliseconds(timing.first_token_ms), compare_words.FIRST_TOKEN
        yield "Total", words.milliseconds(timing.total_ms), compare_words.TOTAL
        if timing.waited_ms is not None and timing.waited_ms >= SHORT_WAIT_MS:
            yield "Waited", words.milliseconds(timing.waited_ms), compare_words.WAITED
        yield "Tokens", _whole(self.tokens), "Written by the model, reasoning included"
        if self.cached:
            yield "Known before", str(self.cached), compare_words.CACHED
        yield "Tokens/s", words.figure(self.tokens_per_second), "Tokens after the first, over their time"
        if self.count is not None:
            yield "Marks", str(self.count), "Places on the image"
        if self.cost is not None:
            said = " · ".join(filter(None, (self.cost.short, self.cost.elsewhere)))
            yield "Cost", said, self.cost.sentence


def sides_of(records: Sequence[Record]) -> tuple[Side, ...]:
    """The facts of runs in column order."""
    called = column_names(records)
    return tuple(_side(index, record, called[index]) for index, record in enumerate(records))


def column_names(records: Sequence[Record]) -> list[str]:
    """The model of each column, and as much of adapter, revision, settings and prompt as tells them apart."""
    called = [model_name(record) or words.MISSING for record in records]
    for details_of in (_variants, _revisions, _settings, _reasoning, _prompts):
        for name in {name for name in called if called.count(name) > 1}:
            same = [index for index, given in enumerate(called) if given == name]
            details = details_of([records[index] for index in same])
            if len(set(details)) > 1:
                for index, detail in zip(same, details, strict=True):
                    called[index] = f"{name}, {detail}"
    twice = {name for name in called if called.count(name) > 1}
    return [f"{name} ({LETTERS[index]})" if name in twice else name for index, name in enumerate(called)]


def _variants(records: Sequence[Record]) -> list[str]:
    return [record.variant or "no adapter" for record in records]


def _revisions(records: Sequence[Record]) -> list[str]:
    return [record.revision[:12] or "unknown revision" for record in records]


def _settings(records: Sequence[Record]) -> list[str]:
    """The settings that are not the same everywhere; the seed only if it is all that differs."""
    given = [(record.parts[0].create.settings if record.parts else None) or {} for record in records]
    every = {name for settings in given for name in settings}
    apart = sorted(name for name in every if len({str(settings.get(name)) for settings in given}) > 1)
    telling = [name for name in apart if name != "seed"] or apart
    return [
        ", ".join(f"{name.replace('_', '-')} {settings.get(name, 'by default')}" for name in telling)
        for settings in given
    ]


def _reasoning(records: Sequence[Record]) -> list[str]:
    reason = [any(part.create.reasoning for part in record.parts) for record in records]
    return ["with reasoning" if reasons else "without reasoning" for reasons in reason]


def _prompts(records: Sequence[Record]) -> list[str]:
    lines = [" ".join(record.prompt.split()) for record in records]
    return [f"“{line if len(line) <= 40 else line[:39] + '…'}”" for line in lines]


def _side(column: int, record: Record, name: str) -> Side:
    measured = [part.metrics for part in record.parts if part.metrics is not None]
    several = len(record.parts) > 1
    places = places_of(record)
    return Side(
        column,
        record.id,
        name,
        record.state,
        timing=timing_of(measured),
        tokens=sum(metrics.output_tokens for metrics in measured) if measured else None,
        cached=sum(metrics.cached_tokens for metrics in measured) if measured else None,
        tokens_per_second=None if several or not measured else words.tokens_per_second(measured[0]),
        count=None if record.skill == "caption" else len(places),
        cost=cost_of(record),
        spans=tuple(dict.fromkeys(place.ground for place in places if place.kind == "span")),
    )


def _whole(value: int | None) -> str:
    return words.MISSING if value is None else str(value)
