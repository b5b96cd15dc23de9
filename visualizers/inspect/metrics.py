"""What the engine measured, each figure with a plain explanation, and what the run cost, as HTML.

section.metrics-table[data-run]
    table[data-part]                      one for each part; its caption names it if there are several
        tbody > tr[data-metric]           th: name · td.metric-value: with unit · td.metric-meaning
    p.metrics-none                        in place of a table: why there are none
    table.metrics-cost                    one such row for the whole run, if it is known who answered
"""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers import words
from dreamscope.visualizers.cost import cost_of
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.record import Part, Record

_TIMES = (
    (
        "queue_time_ms",
        "Waiting",
        "From acceptance until the engine began: behind other requests, or while the model was loaded.",
    ),
    ("image_time_ms", "Image", "Cutting the image into crops and encoding them; near 0 if it was known."),
    (
        "prefill_time_ms",
        "Prefill",
        "Reading image and question, all at once, before the first token.",
    ),
    ("ttft_ms", "First token", "From acceptance to the first token that the model wrote, waiting included."),
    ("decode_time_ms", "Decoding", "From the first token to the last, one after the other."),
    ("total_time_ms", "Total", "From acceptance to the end."),
)
_COUNTS = (
    ("input_tokens", "Read", "Positions that the model read: the image and the words of the request."),
    ("cached_tokens", "From cache", "Those of them that were known from an earlier request on this image."),
    ("output_tokens", "Written", "Tokens that the model wrote: reasoning, answer, markers and numbers."),
    ("reasoning_tokens", "Reasoning", "Those of them that are reasoning."),
)


def render(record: Record) -> str:
    """The tables of all parts."""
    several = len(record.parts) > 1
    body = "".join(_table(nth, part, several) for nth, part in enumerate(record.parts))
    return f'<section class="metrics-table" data-run="{escape(record.id)}">{body}{_cost(record)}</section>'


def _cost(record: Record) -> str:
    cost = cost_of(record)
    if cost is None:
        return ""
    row = _row("cost", "Cost", cost.short, escape(cost.sentence))
    return f'<table class="metrics-cost"><tbody>{row}</tbody></table>'


def _table(number: int, part: Part, several: bool) -> str:
    if part.metrics is None:
        why = "The request failed." if part.error else "The run did not come to its end."
        return f'<p class="metrics-none" data-part="{number}">{why} Nothing was measured.</p>'
    caption = f"<caption>{escape(part.name)}</caption>" if several else ""
    rows = "".join(_row(*row) for row in _rows(part, part.metrics))
    return f'<table data-part="{number}">{caption}<tbody>{rows}</tbody></table>'


def _row(key: str, name: str, value: str, meaning: str) -> str:
    return (
        f'<tr data-metric="{key}"><th scope="row">{name}</th><td class="metric-value">{escape(value)}</td>'
        f'<td class="metric-meaning">{meaning}</td></tr>'
    )


def _rows(part: Part, metrics: wire.Metrics) -> Iterator[tuple[str, str, str, str]]:
    """Key, name, value and meaning."""
    for key, name, meaning in _TIMES:
        yield key, name, words.milliseconds(getattr(metrics, key)), meaning
    rate = words.tokens_per_second(metrics)
    speed = f"{words.figure(rate)} tokens/s" if rate is not None else words.MISSING
    yield "tokens_per_second", "Speed", speed, "Tokens after the first, over the time of decoding."
    for key, name, meaning in _COUNTS:
        told = words.counted(getattr(metrics, key), "token") if metrics.input_tokens else words.MISSING
        yield key, name, told, meaning  # no request reads nothing: an endpoint did not count
    started = next((event for event in part.events if isinstance(event, wire.RequestStarted)), None)
    if started is not None and started.image is not None:
        image = started.image
        size = f"{image.width} × {image.height} px" + (f", {image.crops} crops" if image.crops else "")
        meaning = "The image after orientation, and how many pieces of it were encoded."
        yield "image", "Image seen", size, meaning
