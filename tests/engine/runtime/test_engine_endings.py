"""The engine with a model that echoes: every way to end that is not the usual one."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.engine import EngineRequest
from dreamscope.engine.skills.base import SkillRequest

# -------------------------------------------------------------------------------------------- cancelling


def test_cancel_while_running_keeps_what_was_decoded(bench: Any) -> None:
    desk = bench()
    gate = desk.gate("one two threeone tw")
    sink = desk.ask()
    gate.wait()
    assert sink.text() == "one "
    desk.engine.cancel("r1")
    gate.open()
    ended = sink.end()
    assert ended.reason == "client"
    assert sink.text() == "one two"  # the token under way, and what was held back
    assert ended.metrics.output_tokens == 7
    assert desk.ask("next").end().finish_reason == "stop"


def test_cancel_while_queued(bench: Any) -> None:
    desk = bench()
    gate = desk.gate("first")
    first = desk.ask("first")
    gate.wait()
    second = desk.ask("second")
    desk.engine.cancel("r2", "disconnect")
    gate.open()
    ended = second.end()
    assert ended.reason == "disconnect"
    assert ended.metrics.prefill_time_ms == 0
    assert [event.wire_type for event in second.events] == ["request.accepted", "request.cancelled"]
    assert first.end().finish_reason == "stop"
    assert len(desk.model.caches) == 1


def test_cancel_while_the_image_is_being_cut(bench: Any, gate: Any, picture: Any) -> None:
    desk = bench()
    desk.model.on_crop = gate
    sink = desk.ask(image=picture("a"))
    gate.wait()
    desk.engine.cancel("r1")
    assert sink.end().reason == "client"  # while the gate is still shut
    gate.open()
    assert desk.ask("next", image=picture("b")).end().finish_reason == "stop"


@pytest.mark.parametrize(("cancelled", "cut"), [(["r3"], 3), (["r3", "r4"], 2)])
def test_cancel_drops_crops_that_nobody_else_waits_for(
    bench: Any, gate: Any, picture: Any, cancelled: list[str], cut: int
) -> None:
    desk = bench()
    desk.model.on_crop = gate  # both crop threads stop here, with "a" and "b"
    sinks = {f"r{i}": desk.ask("q", image=picture(digest)) for i, digest in enumerate("abcc", 1)}
    for request_id in cancelled:
        desk.engine.cancel(request_id)
        sinks.pop(request_id).end()
    gate.open()
    for sink in sinks.values():
        assert sink.end().finish_reason == "stop"
    assert desk.model.calls.count("crop") == cut


def test_cancel_during_vision(bench: Any, gate: Any, picture: Any) -> None:
    desk = bench()
    desk.model.on_encode = gate
    sink = desk.ask(image=picture("a"))
    gate.wait()
    desk.engine.cancel("r1")
    gate.open()
    assert sink.end().reason == "client"
    assert desk.model.caches == []
    # The work was not in vain.
    assert desk.ask("next", image=picture("a")).end().metrics.cached_tokens == 5


def test_cancel_is_idempotent_and_takes_unknown_ids(bench: Any) -> None:
    desk = bench()
    sink = desk.ask()
    sink.end()
    for request_id in ("r1", "r1", "never"):
        desk.engine.cancel(request_id)
    assert desk.ask("next").end().finish_reason == "stop"
    sink.end()  # still one terminal event


def test_the_first_reason_counts(bench: Any) -> None:
    desk = bench()
    gate = desk.gate("one two threeo")
    sink = desk.ask()
    gate.wait()
    desk.engine.cancel("r1", "disconnect")
    desk.engine.cancel("r1", "client")
    gate.open()
    assert sink.end().reason == "disconnect"


# --------------------------------------------------------------------------------------------- deadlines


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def check_timeout(event: Any) -> None:
    assert isinstance(event, wire.RequestFailed)
    assert (event.error.code, event.error.retryable) == ("request_timeout", False)


def test_deadline_while_running_and_while_queued(bench: Any) -> None:
    clock = Clock()
    desk = bench(clock=clock)
    gate = desk.gate("one two threeone two t")
    running = desk.ask(deadline=105.0)
    queued = desk.ask(deadline=106.0)
    patient = desk.ask(deadline=200.0)
    gate.wait()
    clock.now = 107.0
    gate.open()
    check_timeout(running.end())
    assert running.text() == "one two th"
    check_timeout(queued.end())
    assert not queued.of(wire.RequestStarted)
    assert patient.end().finish_reason == "stop"
    assert desk.engine.stats()["timeouts"] == 2


def test_deadline_while_the_engine_has_nothing_else_to_do(bench: Any, gate: Any, picture: Any) -> None:
    desk = bench()
    desk.model.on_crop = gate
    check_timeout(desk.ask(image=picture("a"), deadline=time.monotonic() + 0.02).end())
    gate.open()


# ----------------------------------------------------------------------------------------------- failures


def test_a_failure_is_confined_to_its_request(bench: Any, caplog: Any) -> None:
    desk = bench()

    def explode(fed: str) -> None:
        if fed.endswith("badba"):
            raise RuntimeError("secret detail")

    desk.model.hooks.append(explode)
    with caplog.at_level(logging.ERROR):
        good, bad, after = desk.ask("good"), desk.ask("bad"), desk.ask("after")
        failed = bad.end()
    assert failed.error.code == "internal_error"
    assert "secret" not in failed.error.message
    assert "secret detail" in caplog.text
    assert good.end().finish_reason == after.end().finish_reason == "stop"
    assert desk.engine.stats()["failed"] == 1


def test_not_a_number_fails_one_request(bench: Any, monkeypatch: Any) -> None:
    desk = bench()
    logits = desk.model.logits
    monkeypatch.setattr(desk.model, "logits", lambda items: logits(items) * np.float32(np.nan))
    assert desk.ask().end().error.code == "internal_error"
    monkeypatch.undo()
    assert desk.ask().end().finish_reason == "stop"


def test_an_image_that_cannot_be_cut_fails_one_request(bench: Any, picture: Any) -> None:
    desk = bench()

    def refuse(rgb: np.ndarray) -> None:
        raise errors.ImageDecodeFailed("no pixels")

    desk.model.on_crop = refuse
    assert desk.ask(image=picture("a")).end().error.code == "image_decode_failed"
    assert desk.ask().end().finish_reason == "stop"


def test_a_consumer_that_raises_ends_only_its_request(bench: Any, caplog: Any) -> None:
    desk = bench()
    seen = threading.Event()

    def deaf(batch: list[wire.Message]) -> None:
        seen.set()
        raise OSError("gone")

    gate = desk.gate("first")
    first = desk.ask("first")
    gate.wait()
    request = EngineRequest("deaf", SkillRequest("query", question="anyone?"))
    desk.engine.submit(request, deaf)
    gate.open()
    assert seen.wait(20)
    assert first.end().finish_reason == "stop"
    assert desk.ask("next").end().finish_reason == "stop"
    assert desk.engine.stats()["cancelled"] == 1
    assert "deaf" in caplog.text


def test_if_the_thread_itself_fails_every_request_is_told(bench: Any, monkeypatch: Any, caplog: Any) -> None:
    desk = bench()
    gate = desk.gate("first")
    first = desk.ask("first")
    gate.wait()
    second = desk.ask("second")

    def broken() -> None:
        raise AssertionError("bug")

    monkeypatch.setattr(desk.engine, "_next_ready", broken)
    gate.open()
    assert first.end().finish_reason == "stop"
    assert second.end().error.code == "internal_error"
    with pytest.raises(errors.ShuttingDown):
        desk.ask("third")
    assert desk.engine.stats()["status"] == "stopped"


# ------------------------------------------------------------------------------------------------ the end


def test_shutdown_ends_everything(bench: Any, gate: Any, picture: Any) -> None:
    before = set(threading.enumerate())
    desk = bench()
    desk.model.on_crop = gate
    hold = desk.gate("first")
    cutting = desk.ask("cutting", image=picture("a"))
    gate.wait()
    running = desk.ask("first")
    hold.wait()
    queued = desk.ask("queued")
    stopper = threading.Thread(target=desk.engine.shutdown)
    stopper.start()
    hold.open()
    assert [sink.end().reason for sink in (running, queued, cutting)] == ["shutdown"] * 3
    gate.open()
    stopper.join(20)
    assert not stopper.is_alive()
    desk.engine.shutdown()  # again, harmless
    assert set(threading.enumerate()) <= before
    with pytest.raises(errors.ShuttingDown):
        desk.ask("late")


def test_an_idle_engine_waits_without_polling(bench: Any, monkeypatch: Any) -> None:
    desk = bench()
    desk.ask().end()
    waits: list[float | None] = []
    waiting = threading.Event()
    inner = desk.engine._inbox

    class Inbox:
        put = inner.put
        get_nowait = inner.get_nowait

        def get(self, block: bool, timeout: float | None) -> Any:
            waits.append(timeout if block else 0.0)
            if block:
                waiting.set()
            return inner.get(block, timeout)

    monkeypatch.setattr(desk.engine, "_inbox", Inbox())
    desk.ask("next").end()
    assert waiting.wait(20)
    assert {wait for wait in waits if wait != 0.0} == {None}
