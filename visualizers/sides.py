"""What each column of a comparison is called, and what was measured there.

A run of several parts is several requests side by side: their tokens are added up, the first token is that of
the part that had one first, the total is that of the part that took longest, and there is no single speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.engine.wire import Metrics
from dreamscope.visualizers import words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.places import places_of
from dreamscope.visualizers.record import Record


@dataclass(frozen=True, slots=True)
class Side:
    """The facts of one column; times in milliseconds, `None` where nothing was measured."""

    column: int
    run: str
    name: str
    state: str
    ttft_ms: float | None
    total_ms: float | None
    tokens: int | None
    tokens_per_second: float | None
    count: int | None

    def to_json(self) -> dict[str, Any]:
        """All facts, the column as text."""
        return {
            "column": str(self.column),
            "run": self.run,
            "name": self.name,
            "state": self.state,
            "ttft_ms": self.ttft_ms,
            "total_ms": self.total_ms,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "count": self.count,
        }

    def html(self) -> str:
        """A `dl.facts`; what does not apply is left out, what was not measured is a dash."""
        facts = [
            ("First token", words.milliseconds(self.ttft_ms), "From acceptance to the first token"),
            ("Total", words.milliseconds(self.total_ms), "From acceptance to the end"),
            ("Tokens", _whole(self.tokens), "Written by the model, reasoning included"),
            ("Tokens/s", words.figure(self.tokens_per_second), "Tokens after the first, over their time"),
        ]
        if self.count is not None:
            facts.append(("Marks", str(self.count), "Places on the image"))
        rows = (
            f'<div title="{escape(title)}"><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>'
            for term, value, title in facts
        )
        return f'<dl class="facts" data-column="{self.column}">{"".join(rows)}</dl>'


def sides_of(records: Sequence[Record], names: dict[str, str]) -> tuple[Side, ...]:
    """The facts of runs in column order; `names` are the models' names by id, where they are known."""
    called = column_names(records, names)
    return tuple(_side(index, record, called[index]) for index, record in enumerate(records))


def column_names(records: Sequence[Record], names: dict[str, str]) -> list[str]:
    """The model of each column, and as much of adapter, revision, settings and prompt as tells them apart."""
    called = [names.get(record.model) or record.model or words.MISSING for record in records]
    for details_of in (_variants, _revisions, _settings, _reasoning, _prompts):
        for name in {name for name in called if called.count(name) > 1}:
            same = [index for index, given in enumerate(called) if given == name]
            details = details_of([records[index] for index in same])
            if len(set(details)) > 1:
                for index, detail in zip(same, details, strict=True):
                    called[index] = f"{name}, {detail}"
    twice = {name for name in called if called.count(name) > 1}
    return [f"{name} ({index + 1})" if name in twice else name for index, name in enumerate(called)]


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
    return Side(
        column,
        record.id,
        name,
        record.state,
        ttft_ms=_extreme(min, measured, "ttft_ms"),
        total_ms=_extreme(max, measured, "total_time_ms"),
        tokens=sum(metrics.output_tokens for metrics in measured) if measured else None,
        tokens_per_second=None if several or not measured else words.tokens_per_second(measured[0]),
        count=None if record.skill == "caption" else len(places_of(record)),
    )


def _extreme(choose: Callable[[list[float]], float], measured: Sequence[Metrics], name: str) -> float | None:
    known = [value for metrics in measured if (value := getattr(metrics, name)) is not None]
    return choose(known) if known else None


def _whole(value: int | None) -> str:
    return words.MISSING if value is None else str(value)
