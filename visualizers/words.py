"""The sentences and figures of the page: status, metrics, counts, names for the screen reader.

Plain text; whoever puts it into HTML escapes it. Short, concrete, no exclamation marks, and no number that
was not measured: a missing one is written as a dash.
"""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    DetectResult,
    ErrorInfo,
    GazeResult,
    Metrics,
    PlaceSpread,
    PointResult,
    Result,
    SegmentResult,
    Spread,
)

MISSING = "–"
REASONING = "Thinking"
ANSWERING = "Answering"
CATCHING_UP = "Catching up"
OUTLINING = "Drawing the outline"
NOTHING = "Nothing found"
TARGET = "the target"
RAW_TEXT = "Raw text"
ONE_VALUE = "1 value"
EMPTY = "empty"
DEEPER = "What lies deeper is in the raw text."
PARTS_DONE = "{done} of {count} done"
"""Of a run of several objects; the page's script fills it as well."""
_TAIL = 28


def queued(position: int) -> str:
    """Waiting behind `position` other requests."""
    return f"Queued, {position} ahead" if position > 0 else "Queued, next"


def reading(has_image: bool) -> str:
    """Prefill runs."""
    return "Looking at the image" if has_image else "Reading the question"


def so_far(found: str) -> str:
    """What was found while more may come."""
    return f"{found} so far"


def done(skill: str, finish_reason: str) -> str:
    """The end of a request that was not stopped."""
    if finish_reason != "length":
        return "Done"
    limit = "object" if skill in ("point", "detect") else "token"
    return f"Cut off at the {limit} limit"


def stopped(reason: str, text: str, found: str = "") -> str:
    """A cancelled request, and what was kept of it: the end of `text` or what was `found`."""
    first = {
        "disconnect": "The connection was lost",
        "shutdown": "The engine shut down",
    }.get(reason, "Stopped")
    kept = _kept(text, found)
    return f"{first} {kept}." if kept else f"{first} before anything was written."


def failed(error: ErrorInfo, text: str, found: str = "") -> str:
    """A failed request: what happened, what was kept, whether trying again may help."""
    sentences = [_sentence(error.message)]
    if kept := _kept(text, found):
        sentences.append(f"It stopped {kept}.")
    if error.retryable:
        sentences.append("Running it again may help.")
    return " ".join(sentences)


def engine_gone(text: str, found: str = "") -> str:
    """The engine process ended under a running request."""
    kept = _kept(text, found)
    return f"The engine stopped {kept}. Restarting…" if kept else "The engine stopped. Restarting…"


def interrupted(text: str, found: str = "") -> str:
    """A run whose end was never recorded, as the history shows it."""
    kept = _kept(text, found)
    return f"Interrupted {kept}." if kept else "Interrupted before anything was written."


def tail(text: str) -> str:
    """The last few words of `text`, whole words where possible."""
    line = " ".join(text.split())
    if len(line) <= _TAIL:
        return line
    cut = line[-_TAIL:]
    return cut.split(" ", 1)[1] if " " in cut else f"…{cut}"


def counted(count: int, kind: str) -> str:
    """`1 point`, `2 boxes`."""
    plural = {"point": "points", "box": "boxes", "place": "places", "token": "tokens"}
    return f"{count} {kind if count == 1 else plural[kind]}"


def items(count: int, kind: str) -> str:
    """`1 row`, `2 fields`: of an answer with structure."""
    return f"{count} {kind}" if count == 1 else f"{count} {kind}s"


def more(count: int, kind: str) -> str:
    """What of an answer with structure is not shown as such."""
    return f"{items(count, f'more {kind}')} in the raw text."


def unreadable(form: str) -> str:
    """Why an answer that should have structure is shown as text."""
    name = "CSV" if form == "csv" else "JSON"
    return f"This is not complete, valid {name}, so it is shown as the model wrote it."


def found(result: Result, finished: bool) -> str:
    """What was found in the image, as a sentence or a count; empty while it is nothing and more may come,
    and for results that are text.
    """
    match result:
        case PointResult(points=places):
            return counted(len(places), "point") if places else NOTHING if finished else ""
        case DetectResult(objects=boxes):
            return counted(len(boxes), "box") if boxes else NOTHING if finished else ""
        case GazeResult():
            return _gaze(result, finished)
        case SegmentResult():
            return _outline(result) if finished else ""
        case _:
            return ""


def _gaze(result: GazeResult, finished: bool) -> str:
    if result.gaze is not None:
        return f"Looks at {point_place(result.gaze.x, result.gaze.y)}"
    return "Looks outside the image: there is no target in it" if finished else ""


def outlined(result: SegmentResult) -> str:
    """How far an outline came that was stopped."""
    if result.path:
        return "a part of the outline"
    return "the box" if result.bbox else ""


def _outline(result: SegmentResult) -> str:
    """What came of an outline, and whose it is."""
    if result.parse_error is not None:
        return f"No outline: what the model wrote is not a path. {_sentence(result.parse_error)}"
    if result.bbox is None:
        return "No outline: the model gave no box to draw one in." if result.path else NOTHING
    if not result.path:
        return "No outline: the model gave only a box."
    if result.refined:
        return "1 outline. The model's outline, refined."
    return "1 outline. No refiner has improved the model's own outline."


def ground_name(text: str, number: int, places: int) -> str:
    """What a screen reader says for a grounded span."""
    where = f"mark {number}, {counted(places, 'place')} on the image" if places else f"mark {number}"
    words = " ".join(text.split())
    return f"{words}, {where}" if words else where[0].upper() + where[1:]


def picture_name(name: str, places: int) -> str:
    """Title of a picture with marks."""
    marked = f"Image with {counted(places, 'place')} marked"
    return f"{marked}: {name}" if name else marked


def point_place(x: float, y: float) -> str:
    """A point in the list, as fractions of the image."""
    return f"x {x:.3f}, y {y:.3f}"


def box_place(box: Box) -> str:
    """A box in the list: its centre and size, as fractions of the image."""
    x, y = (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2
    return f"x {x:.3f}, y {y:.3f} · {box.x_max - box.x_min:.3f} × {box.y_max - box.y_min:.3f}"


def probability(value: float) -> str:
    """The probability of a token or bin."""
    return "Probability below 0.01" if value < 0.01 else f"Probability {value:.2f}"


def spread_of(spread: PlaceSpread | BoxSpread) -> str:
    """Where most of the decoder's probability lies, for each number of a place or box."""
    low, high = (", ".join(_intervals(spread, level)) for level in (68, 95))
    return f"68 % of the decoder's probability lies in {low}; 95 % in {high}"


def _intervals(spread: PlaceSpread | BoxSpread, level: int) -> Iterator[str]:
    named: list[tuple[str, Spread]] = [("x", spread.x), ("y", spread.y)]
    if isinstance(spread, BoxSpread):
        named += [("width", spread.w), ("height", spread.h)]
    for name, one in named:
        low, high = one.i68 if level == 68 else one.i95
        yield f"{name} {low:.3f}–{high:.3f}"


def tokens_per_second(metrics: Metrics) -> float | None:
    """Decode speed: tokens after the first, over the time from the first to the last."""
    if metrics.output_tokens < 2 or not metrics.decode_time_ms or metrics.decode_time_ms <= 0:
        return None
    return (metrics.output_tokens - 1) * 1000 / metrics.decode_time_ms


def measured(metrics: Metrics) -> tuple[tuple[str, str], ...]:
    """The parts of the metrics line, each with the sentence that says what was measured."""
    rate = tokens_per_second(metrics)
    return (
        (f"ttft {milliseconds(metrics.ttft_ms)}", "Time from acceptance to the first token"),
        (f"{figure(rate)} tok/s", "Tokens after the first, over the time they took"),
        (counted(metrics.output_tokens, "token"), "Tokens written by the model, reasoning included"),
    )


def metrics_line(metrics: Metrics) -> str:
    """`ttft 84 ms · 112 tok/s · 61 tokens`."""
    return " · ".join(text for text, _ in measured(metrics))


def milliseconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if value is None:
        return MISSING
    return f"{value / 1000:.1f} s" if value >= 10_000 else f"{figure(value)} ms"


def figure(value: float | None) -> str:
    """A number with as many decimals as it can bear."""
    if value is None:
        return MISSING
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text[-1:] in ".?" else f"{text}."


def _kept(text: str, found: str) -> str:
    end = tail(text)
    if end:
        return f"after “{end}”"
    return f"after {found}" if found else ""
