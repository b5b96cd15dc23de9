"""The engine with a model that echoes: the life of a request, images, refusals."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.images import RawImage

# ------------------------------------------------------------------------------------------ a normal life


def test_a_question_from_acceptance_to_result(bench: Any) -> None:
    sink = bench().ask("one two", tag={"row": 1})
    done = sink.end()
    assert [event.wire_type for event in sink.events] == [
        "request.accepted",
        "request.started",
        "text.delta",
        "text.delta",
        "request.done",
    ]
    assert {event.request_id for event in sink.events} == {"r1"}
    accepted, started = sink.events[:2]
    assert (accepted.model, accepted.skill, accepted.tag, accepted.position) == (
        "echo",
        "query",
        {"row": 1},
        0,
    )
    assert (started.input_tokens, started.cached_tokens, started.image) == (1 + 3 + 7 + 2, 0, None)
    assert done.finish_reason == "stop"
    assert done.output == {"answer": "one two"}
    assert sink.text() == "one two"


def test_metrics_add_up(bench: Any, picture: Any) -> None:
    m = bench().ask("one two", image=picture("a")).end().metrics
    assert (m.input_tokens, m.output_tokens, m.reasoning_tokens, m.cached_tokens) == (5 + 12, 7, 0, 0)
    assert m.queue_time_ms + m.prefill_time_ms == pytest.approx(m.ttft_ms, abs=0.01)
    assert m.ttft_ms + m.decode_time_ms == pytest.approx(m.total_time_ms, abs=0.01)
    assert 0 <= m.image_time_ms <= m.prefill_time_ms


def test_objects(bench: Any, picture: Any) -> None:
    desk = bench()
    point = desk.ask("cat", skill="point", image=picture("a"))
    detect = desk.ask("cat", skill="detect", image=picture("a"))
    assert point.end().output == {"points": [{"x": 0.5, "y": 0.5}], "count": 1}
    kinds = [event.wire_type for event in point.events]
    assert kinds == ["request.accepted", "request.started", "point", "request.done"]
    box = {"x_min": 0.0, "y_min": 0.5 - 2**-11, "x_max": 1.0, "y_max": 0.5 + 2**-11}
    assert detect.end().output == {"objects": [box]}
    assert [event.wire_type for event in detect.events[2:-1]] == ["box.center", "box"]


def test_requests_start_in_the_order_of_their_arrival(bench: Any) -> None:
    desk = bench(max_batch=2)
    gate = desk.gate("firstf")
    first = desk.ask("first")
    gate.wait()
    others = [desk.ask(f"q{i}") for i in range(5)]
    gate.open()
    assert [sink.end().output["answer"] for sink in others] == [f"q{i}" for i in range(5)]
    first.end()
    assert [sink.events[0].position for sink in others] == [0, 1, 2, 3, 4]
    assert [prompt[5] for prompt in desk.model.prompts[1:]] == [21 + ord(str(i)) for i in range(5)]


def test_requests_are_served_together(bench: Any) -> None:
    """Long answers and short ones: nobody waits for another one's end."""
    desk = bench()
    question = "a long question, and thus a long answer"
    gate = desk.gate(question + "a l")
    long = desk.ask(question)
    gate.wait()
    for text in ("one", "two"):
        desk.ask(text, sink=long)
    gate.open()
    long.wait_until(lambda: len(long.of(wire.RequestDone)) == 3)
    ended = long.of(wire.RequestDone)
    assert [done.output["answer"] for done in ended] == ["one", "two", question]
    assert 1 < ended[-1].metrics.batch_mean <= 3


def test_events_leave_once_for_a_consumer_and_tick(bench: Any) -> None:
    desk = bench()
    sinks = [desk.ask("same length") for _ in range(4)]
    shared = sinks[0]
    for sink in sinks:
        sink.end()
    ticks = len(desk.engine.steps())
    ended = threading.Semaphore(0)
    calls = []

    def everybody(batches: Any) -> None:
        calls.append([request_id for request_id, _ in batches])
        for _, events in batches:
            if isinstance(events[-1], wire.TERMINAL):
                ended.release()

    desk.engine.pause()
    for name in "abcd":
        desk.ask("same length", request_id=name, sink=everybody)
    desk.engine.resume()
    for _ in "abcd":
        assert ended.acquire(timeout=20)
    assert shared.batches <= len(calls) + ticks
    assert max(len(call) for call in calls) == 4
    assert all(len(set(call)) == len(call) for call in calls)


def test_length_when_the_budget_or_the_context_ends(bench: Any) -> None:
    done = bench().ask("one two three", max_tokens=5).end()
    assert (done.finish_reason, done.output) == ("length", {"answer": "one t"})
    sink = bench(max_context=40).ask("x" * 30)
    done = sink.end()
    assert done.finish_reason == "length"
    assert done.output == {"answer": "xxxx"} == {"answer": sink.text()}
    assert done.metrics.input_tokens + done.metrics.output_tokens == 40


def test_no_more_pages_are_reserved_than_needed(bench: Any, picture: Any) -> None:
    desk = bench()
    desk.ask("one", max_tokens=9).end()
    desk.ask("one", max_tokens=9, image=picture("a")).end()
    assert desk.model.reserved == [9 + 9, 5 + 8 + 9]
    gauges = desk.engine.gauges()
    assert (gauges.pages_private, gauges.running, gauges.in_flight) == (0, 0, 0)


# ------------------------------------------------------------------------------------------------- images


def test_an_image_is_encoded_once(bench: Any, picture: Any) -> None:
    desk = bench()
    first = desk.ask("one", image=picture("a"))
    first.end()
    second = desk.ask("two", image=picture("a"))
    other = desk.ask("two", image=picture("b"))
    assert second.end().output == {"answer": "two"}
    other.end()
    assert desk.model.calls == ["crop", "encode", "crop", "encode"]
    starts = [sink.of(wire.RequestStarted)[0] for sink in (first, second, other)]
    assert [start.cached_tokens for start in starts] == [0, 5 + 3, 0]  # the image, and "query" behind it
    assert [start.image for start in starts] == [wire.ImageInfo(40, 30, 13)] * 3
    assert second.end().metrics.image_time_ms is None
    assert second.end().metrics.cached_tokens == 8
    stats = desk.engine.stats()
    assert (stats["prefix_hits"], stats["prefix_misses"], stats["cached_images"]) == (1, 2, 2)


def test_waiting_requests_share_the_crops_of_one_image(bench: Any, gate: Any, picture: Any) -> None:
    desk = bench()
    desk.model.on_crop = gate
    sinks = [desk.ask(name, image=picture("a")) for name in ("one", "two", "three")]
    sinks[-1].wait_for(wire.RequestAccepted)
    gate.open()
    assert [sink.end().output["answer"] for sink in sinks] == ["one", "two", "three"]
    assert desk.model.calls == ["crop", "encode"]


def test_an_image_that_had_to_make_room_is_encoded_again(bench: Any, picture: Any) -> None:
    desk = bench(pages=512)
    desk.ask("one", image=picture("a")).end()
    desk.ask("one", max_tokens=500).end()  # takes every page
    assert desk.ask("one", image=picture("a")).end().metrics.cached_tokens == 0
    assert desk.model.calls == ["crop", "encode"] * 2
    assert desk.engine.gauges().evictions > 0


def test_what_an_answer_has_computed_is_not_computed_again(bench: Any, picture: Any) -> None:
    desk = bench()
    desk.ask("one", image=picture("a")).end()
    again = desk.ask("one", image=picture("a")).end().metrics
    assert again.cached_tokens == again.input_tokens - 1  # the last position decides the first token


def test_equal_pixels_are_one_image(bench: Any) -> None:
    desk = bench()
    pixels = np.zeros((30, 40, 3), np.uint8)
    for rgb in (pixels, pixels.copy(), pixels.reshape(40, 30, 3)):
        desk.ask("one", image=RawImage.of(rgb)).end()
    assert desk.model.calls == ["crop", "encode"] * 2  # another shape is another image


def test_a_request_without_image_passes_one_whose_crops_are_being_cut(
    bench: Any, gate: Any, picture: Any
) -> None:
    desk = bench()
    desk.model.on_crop = gate
    slow = desk.ask("slow", image=picture("a"))
    assert desk.ask("quick").end().finish_reason == "stop"
    assert not slow.of(wire.RequestStarted)
    gate.open()
    assert slow.end().finish_reason == "stop"


# ----------------------------------------------------------------------------------------------- refusals


def test_queue_full(bench: Any) -> None:
    desk = bench(max_queue=2)
    gate = desk.gate("oneo")
    sinks = [desk.ask("one")]
    gate.wait()
    sinks += [desk.ask("two"), desk.ask("three")]
    with pytest.raises(errors.QueueFull, match="2 requests"):
        desk.ask("four")
    gate.open()
    assert [sink.end().finish_reason for sink in sinks] == ["stop"] * 3
    assert desk.ask("five").end().finish_reason == "stop"


def test_an_id_in_use_is_refused(bench: Any) -> None:
    desk = bench()
    gate = desk.gate("one")
    sink = desk.ask("one", request_id="x")
    gate.wait()
    with pytest.raises(errors.RequestExists):
        desk.ask("one", request_id="x")
    gate.open()
    sink.end()


def test_a_prompt_beyond_the_context_is_refused_with_numbers(bench: Any, picture: Any) -> None:
    desk = bench(max_context=40)
    with pytest.raises(errors.ContextLengthExceeded, match=r"takes 40 tokens.*has 40") as caught:
        desk.ask("x" * 34)
    assert caught.value.param == "question"
    with pytest.raises(errors.ContextLengthExceeded) as caught:
        desk.ask("x" * 40, skill="detect", image=picture("a"))
    assert caught.value.param == "object"
    assert desk.ask("x" * 33).end().output == {"answer": "x"}


def test_stats(bench: Any) -> None:
    desk = bench(max_queue=7)
    gate = desk.gate("firstf")
    first = desk.ask("first")
    gate.wait()
    second = desk.ask("second")
    stats = desk.engine.stats()
    assert (stats["status"], stats["processing"], stats["queue_size"]) == ("running", 1, 1)
    assert stats["max_queue_size"] == 7
    gate.open()
    first.end()
    second.end()
    desk.engine.pause()  # after which the gauges are those of an engine that does nothing
    stats = desk.engine.stats()
    assert stats["batch_size"] == stats["kv_pages_used"] == 0 < stats["kv_pages_total"]
    desk.engine.resume()
    desk.engine.shutdown()
    stats = desk.engine.stats()
    assert (stats["status"], stats["processing"], stats["queue_size"]) == ("stopped", 0, 0)
    assert (stats["requests_processed"], stats["output_tokens"]) == (2, 11)
