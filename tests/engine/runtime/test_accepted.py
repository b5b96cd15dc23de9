"""A request that was accepted before the engine was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dreamscope.engine import wire


def test_its_acceptance_is_not_told_again_and_its_time_runs_on(bench: Callable[..., Any]) -> None:
    bench = bench(clock=lambda: 50.0)
    sink = bench.ask("hello", accepted_at=47.5)
    done = sink.wait_for(wire.RequestDone)
    assert sink.of(wire.RequestAccepted) == []
    assert [event.seq for event in sink.events] == list(range(1, len(sink.events) + 1))
    assert {event.t for event in sink.events} == {2500.0}
    assert (done.metrics.queue_time_ms, done.metrics.total_time_ms) == (2500.0, 2500.0)


@pytest.mark.parametrize("deadline", [49.0, 50.0])
def test_its_deadline_may_have_passed(bench: Callable[..., Any], deadline: float) -> None:
    sink = bench(clock=lambda: 50.0).ask("hello", accepted_at=47.5, deadline=deadline)
    failed = sink.wait_for(wire.TERMINAL)
    assert (failed.seq, failed.error.code) == (1, "request_timeout")
