"""The sentences and figures of the page: status, metrics, counts, names for the screen reader.

Plain text; whoever puts it into HTML escapes it. Short, concrete, no exclamation marks, and no number that
was not measured: a missing one is written as a dash.
"""

from __future__ import annotations

from dreamscope.engine.wire import Box, DetectResult, ErrorInfo, Metrics, PointResult

MISSING = "–"
REASONING = "Reasoning"
ANSWERING = "Answering"
CATCHING_UP = "Catching up"
_TAIL = 28


def queued(position: int) -> str:
    """Waiting behind `position` other requests."""
    return f"Queued, {position} ahead" if position > 0 else "Queued, next"


def reading(has_image: bool) -> str:
    """Prefill runs."""
    return "Looking at the image" if has_image else "Reading the question"


def found_so_far(kind: str, count: int) -> str:
    """Points or boxes while more may come."""
    return f"{counted(count, kind)} so far"


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
    message = error.message.rstrip()
    sentences = [message if message[-1:] in ".?" else f"{message}."]
    if kept := _kept(text, found):
        sentences.append(f"It stopped {kept}.")
    if error.retryable:
        sentences.append("Running it again may help.")
    return " ".join(sentences)


def engine_gone(text: str, found: str = "") -> str:
    """The engine process ended under a running request."""
    kept = _kept(text, found)
    return f"The engine stopped {kept}. Restarting…" if kept else "The engine stopped. Restarting…"


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


def found(result: PointResult | DetectResult, finished: bool) -> str:
    """How many places were found; empty while nothing is and more may come."""
    count = len(result.points) if isinstance(result, PointResult) else len(result.objects)
    if count == 0:
        return "Nothing found" if finished else ""
    return counted(count, "point" if isinstance(result, PointResult) else "box")


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


def _kept(text: str, found: str) -> str:
    end = tail(text)
    if end:
        return f"after “{end}”"
    return f"after {found}" if found else ""
