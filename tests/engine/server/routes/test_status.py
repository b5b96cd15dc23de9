"""Statistics, metrics, and what there is not."""

from __future__ import annotations

import asyncio
import re

import pytest

from dreamscope.engine import wire
from dreamscope.engine.server.prometheus import Histogram, Metric, Sample, render

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


async def test_stats_have_the_fields_of_station(ask, engine):
    asking = asyncio.create_task(ask("POST", "/v1/query", {"question": "Why?"}))
    job = await engine.next_job()
    told = (await ask("GET", "/v1/stats")).json()
    assert (told["status"], told["model"], told["workers"], told["processing"]) == (
        "running",
        "sprite-2",
        1,
        1,
    )
    assert told["default_timeout"] == 300.0
    assert {"queue_size", "timeouts", "requests_processed", "uptime_s"} <= set(told)
    job.done(answer="2")
    await asking
    assert (await ask("GET", "/v1/stats")).json()["processing"] == 0


async def test_metrics_are_prometheus_text(ask, engine):
    asking = asyncio.create_task(ask("POST", "/v1/query", {"question": "Why?"}))
    job = await engine.next_job()
    metrics = wire.Metrics(input_tokens=7, output_tokens=3, ttft_ms=20.0, decode_time_ms=4.0)
    job.send(wire.RequestDone(request_id="", finish_reason="stop", output={"answer": "2"}, metrics=metrics))
    await asking
    await ask("POST", "/v1/query", {})
    answer = await ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert all(line.startswith("# ") or LINE.fullmatch(line) for line in lines)
    assert 'dreamscope_requests_total{skill="query",model="sprite-2",outcome="done"} 1' in lines
    assert 'dreamscope_requests_total{skill="",model="",outcome="missing_parameter"} 1' in lines
    assert 'dreamscope_tokens_total{kind="input"} 7' in lines
    assert 'dreamscope_http_answers_total{status="400"} 1' in lines
    assert 'dreamscope_first_token_seconds_bucket{model="sprite-2",le="0.025"} 1' in lines
    assert 'dreamscope_per_token_seconds_sum{model="sprite-2"} 0.002' in lines
    assert "dreamscope_processing 0" in lines


def test_the_text_escapes_labels_and_adds_up_buckets():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    page = render(
        [
            Metric("m", "Help.", "gauge", (Sample(1.5, {"l": 'a"b\\c\n'}),)),
            Metric("none", "Nothing.", "gauge", ()),
            Metric("h", "Times.", "histogram", tuple(histogram.samples({"x": "y"}))),
        ]
    )
    assert page == (
        "# HELP m Help.\n# TYPE m gauge\n"
        'm{l="a\\"b\\\\c\\n"} 1.5\n'
        "# HELP h Times.\n# TYPE h histogram\n"
        'h_bucket{x="y",le="1"} 2\nh_bucket{x="y",le="2"} 3\nh_bucket{x="y",le="+Inf"} 4\n'
        'h_sum{x="y"} 12\nh_count{x="y"} 4\n'
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/tuning"), ("POST", "/v1/tuning/rollouts"), ("DELETE", "/v1/tuning/finetunes/a/b")],
)
async def test_tuning_is_said_not_to_exist_in_a_way_that_is_not_repeated(ask, method, path):
    answer = await ask(method, path, b"{}")
    assert (answer.status, answer.code) == (501, "not_implemented")
    assert answer.headers["x-should-retry"] == "false"
