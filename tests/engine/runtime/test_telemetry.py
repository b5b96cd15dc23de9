"""The record of the last steps, the counters, and the trace that is made of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from dreamscope.engine.runtime.metrics import BOUNDS, Counters, Histogram
from dreamscope.engine.runtime.perfetto import chrome_trace
from dreamscope.engine.runtime.telemetry import RATE_S, Recorder, StepRecord

STEP = StepRecord(
    index=7,
    kind="decode",
    slot=1,
    depth=2,
    requests=("a", "b"),
    zombies=1,
    positions=2,
    launch=(1.0, 1.001),
    mask=(1.002, 1.0025),
    wait=(1.003, 1.005),
    commit=(1.005, 1.006),
    device=(1.001, 1.0049),
    idle=0.0,
)


def test_steps_are_recorded_in_order(bench: Any) -> None:
    desk = bench(depth=2)
    desk.ask("one two").end()
    desk.engine.shutdown()
    steps = desk.engine.steps()
    assert [step.index for step in steps] == list(range(len(steps)))
    assert [step.kind for step in steps] == ["prefill"] + ["decode"] * (len(steps) - 1)
    assert {step.slot for step in steps} == {0, 1}
    assert steps[0].positions == 13
    assert {step.requests for step in steps} == {("r1",)}
    assert sum(step.zombies for step in steps) == 1
    for step in steps:
        spans = (step.launch, step.mask, step.wait, step.commit)
        assert all(begun <= ended for begun, ended in spans)
        assert [span[0] for span in spans] == sorted(span[0] for span in spans)
        assert step.device[1] <= step.commit[0]
    assert desk.engine.steps(steps[-2].index) == steps[-1:]


def test_counters_add_up_with_what_requests_were_told(bench: Any, picture: Any) -> None:
    desk = bench()
    ends = [sink.end() for sink in [desk.ask(text, image=picture("a")) for text in ("one", "two", "three")]]
    desk.engine.shutdown()
    counters, metrics = desk.engine.counters(), [end.metrics for end in ends]
    assert counters.completed == 3
    assert counters.input_tokens == sum(m.input_tokens for m in metrics)
    assert counters.output_tokens == sum(m.output_tokens for m in metrics) == 11
    assert counters.cached_tokens == sum(m.cached_tokens for m in metrics)
    steps = desk.engine.steps()
    assert counters.steps == {kind: sum(s.kind == kind for s in steps) for kind in ("prefill", "decode")}
    assert sum(counters.rows.values()) == sum(len(step.requests) for step in steps)
    assert sum(counters.ttft.counts) == sum(counters.request.counts) == 3
    assert sum(counters.commit.counts) == len(steps)
    for m in metrics:
        assert m.itl_p50_ms <= m.itl_p95_ms <= m.itl_max_ms
        assert (m.depth, m.device, m.zombie_steps) == (1, "echo", 0)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = STEP.commit[1] + RATE_S / 2
    recorder = Recorder(Counters(), lambda: now, lambda seat: None, lambda seat, ms: None)
    recorder._records.extend(dataclasses.replace(STEP, index=index) for index in range(6))
    assert recorder.rate() * RATE_S == 6  # each of two requests, one of which had ended
    now += RATE_S
    assert recorder.rate() == 0


def test_pages_in_use_are_told_while_a_request_runs(bench: Any) -> None:
    desk = bench()
    gate = desk.gate("firstf")
    first = desk.ask("first")
    gate.wait()
    during = desk.engine.stats()
    gate.open()
    first.end()
    assert during["batch_size"] == 1
    assert 0 < during["kv_pages_used"] <= during["kv_pages_total"]


def test_a_histogram() -> None:
    histogram = Histogram()
    for value in (0.05, BOUNDS[0], 0.15, 1e9):
        histogram.add(value)
    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-1] == 1
    assert sum(histogram.counts) == 4
    assert histogram.total == pytest.approx(1e9, rel=1e-6)


def test_a_trace_has_a_track_for_host_device_and_slots() -> None:
    first = dataclasses.replace(STEP, index=6, slot=0, kind="prefill", zombies=0)
    trace = json.loads(json.dumps(chrome_trace([first, STEP]), allow_nan=False))
    events = trace["traceEvents"]
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert set(tracks.values()) == {"host", "device", "slot 0", "slot 1"}
    slices = [event for event in events if event["ph"] == "X" and event["args"]["step"] == 7]
    assert [(tracks[event["tid"]], event["name"]) for event in slices] == [
        ("host", "launch 7"),
        ("host", "mask 7"),
        ("host", "wait 7"),
        ("host", "commit 7"),
        ("device", "decode 7"),
        ("slot 1", "decode 7"),
    ]
    device = slices[4]
    assert (device["ts"], device["dur"]) == (1_001_000.0, pytest.approx(3900.0))
    assert slices[5]["dur"] == pytest.approx(6000.0)
    (counter,) = (event for event in events if event["ph"] == "C" and event["args"]["zombie"])
    assert counter["args"] == {"live": 1, "zombie": 1}
