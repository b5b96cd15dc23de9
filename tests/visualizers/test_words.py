"""The sentences and figures of the page."""

from __future__ import annotations

import pytest

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    CaptionResult,
    DetectResult,
    ErrorInfo,
    GazeResult,
    Metrics,
    PlaceSpread,
    Point,
    PointResult,
    SegmentResult,
    Spread,
)
from dreamscope.visualizers import words


def test_metrics_line() -> None:
    metrics = Metrics(output_tokens=61, ttft_ms=84.2, decode_time_ms=535.7)
    assert words.metrics_line(metrics) == "ttft 84 ms · 112 tok/s · 61 tokens"


def test_what_was_not_measured_is_a_dash() -> None:
    assert words.metrics_line(Metrics()) == "ttft – · – tok/s · 0 tokens"
    assert words.tokens_per_second(Metrics(output_tokens=1, decode_time_ms=5)) is None
    assert words.tokens_per_second(Metrics(output_tokens=9, decode_time_ms=0)) is None


@pytest.mark.parametrize(("value", "text"), [(3.14, "3.1 ms"), (999.6, "1000 ms"), (12_345, "12.3 s")])
def test_durations(value: float, text: str) -> None:
    assert words.milliseconds(value) == text


def test_queue_position() -> None:
    assert words.queued(0) == "Queued, next"
    assert words.queued(3) == "Queued, 3 ahead"


@pytest.mark.parametrize(
    ("skill", "reason", "text"),
    [
        ("query", "stop", "Done"),
        ("query", "length", "Cut off at the token limit"),
        ("point", "length", "Cut off at the object limit"),
    ],
)
def test_end(skill: str, reason: str, text: str) -> None:
    assert words.done(skill, reason) == text


def test_stopped_says_what_was_kept() -> None:
    text = "I see a dog by the tree and another near the fence"
    assert words.stopped("client", text) == "Stopped after “and another near the fence”."
    assert words.stopped("client", "", "3 points") == "Stopped after 3 points."
    assert words.stopped("client", "") == "Stopped before anything was written."
    assert words.stopped("disconnect", "a cup") == "The connection was lost after “a cup”."
    assert words.stopped("shutdown", "") == "The engine shut down before anything was written."


def test_tail_of_one_long_word() -> None:
    assert words.tail("x" * 40) == "…" + "x" * 28


def test_failed_and_gone() -> None:
    error = ErrorInfo("The image could not be decoded", "invalid_request_error", "image_decode_failed")
    assert words.failed(error, "") == "The image could not be decoded."
    retry = ErrorInfo("The engine is full.", "rate", "queue_full", retryable=True)
    assert (
        words.failed(retry, "a cup")
        == "The engine is full. It stopped after “a cup”. Running it again may help."
    )
    assert words.engine_gone("near the fence") == "The engine stopped after “near the fence”. Restarting…"
    assert words.engine_gone("") == "The engine stopped. Restarting…"


def test_counts() -> None:
    assert words.found(PointResult((Point(0, 0),), 1), finished=False) == "1 point"
    assert words.found(DetectResult((Box(0, 0, 1, 1),) * 2), finished=True) == "2 boxes"
    assert words.found(PointResult((), 0), finished=True) == "Nothing found"
    assert words.found(PointResult((), 0), finished=False) == ""


def test_names_for_screen_readers() -> None:
    assert words.ground_name("a  dog", 2, 1) == "a dog, mark 2, 1 place on the image"
    assert words.ground_name("", 2, 3) == "Mark 2, 3 places on the image"
    assert words.box_place(Box(0.1, 0.2, 0.3, 0.6)) == "x 0.200, y 0.400 · 0.200 × 0.400"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            SegmentResult("M 0 0 L 1 1", Box(0, 0, 1, 1)),
            "1 outline. No refiner has improved the model's own outline.",
        ),
        (SegmentResult("M 0 0", Box(0, 0, 1, 1), refined=True), "1 outline. The model's outline, refined."),
        (SegmentResult("", Box(0, 0, 1, 1)), "No outline: the model gave only a box."),
        (SegmentResult("M 0 0 L 1 1"), "No outline: the model gave no box to draw one in."),
        (SegmentResult(""), "Nothing found"),
        (
            SegmentResult("", Box(0, 0, 1, 1), parse_error="Unexpected SVG token 'x'"),
            "No outline: what the model wrote is not a path. Unexpected SVG token 'x'.",
        ),
        (GazeResult(Point(0.25, 0.5)), "Looks at x 0.250, y 0.500"),
        (GazeResult(), "Looks outside the image: there is no target in it"),
        (CaptionResult("x"), ""),
    ],
)
def test_what_was_found(result, text: str) -> None:
    assert words.found(result, finished=True) == text


def test_nothing_is_said_of_what_may_still_come() -> None:
    assert words.found(GazeResult(), finished=False) == ""
    assert words.found(SegmentResult("M 0 0 L 1 1", Box(0, 0, 1, 1)), finished=False) == ""


def test_spreads_in_words() -> None:
    one, two = Spread(0.5, (0.41, 0.43), (0.4, 0.5)), Spread(0.5, (0.1, 0.2), (0.0, 0.3))
    assert words.spread_of(PlaceSpread(one, two)) == (
        "68 % of the decoder's probability lies in x 0.410–0.430, y 0.100–0.200;"
        " 95 % in x 0.400–0.500, y 0.000–0.300"
    )
    assert "width 0.100–0.200, height 0.410–0.430;" in words.spread_of(BoxSpread(one, two, two, one))


def test_small_probabilities_are_not_called_nought() -> None:
    assert words.probability(0.0004) == "Probability below 0.01"
    assert words.probability(0.834) == "Probability 0.83"
