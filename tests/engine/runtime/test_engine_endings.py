"""The engine with a model that echoes: every way to end that is not the usual one."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.runtime.adapters import AdapterId, AdapterRegistry
from dreamscope.engine.runtime.engine import Engine, EngineRequest, Health
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.skills.answer import AnswerLoop
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
    assert sink.text() == "one tw"  # with what was held back; the token under way belongs to nobody
    assert ended.metrics.output_tokens == 6
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
    assert len(desk.model.prompts) == 1


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


@pytest.mark.parametrize("how", ["cancel", "deadline", "shutdown", "nothing"])
def test_the_end_of_a_request_whose_adapter_is_being_loaded(
    bench: Any, gate: Any, tmp_path: Path, how: str
) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "final.pt").write_bytes(b"")

    def load(path: Path) -> Adapter:
        gate()
        return Adapter("digest", (), 0)

    desk = bench(adapters=AdapterRegistry(tmp_path, load))
    deadline = time.monotonic() + 0.02 if how == "deadline" else None
    sink = desk.ask("one", adapter=AdapterId("cats"), deadline=deadline)
    gate.wait()
    assert desk.ask("two").end().output == {"answer": "two"}  # nobody waits for the file
    if how == "cancel":
        desk.engine.cancel("r1")
        assert sink.end().reason == "client"
    elif how == "deadline":
        check_timeout(sink.end())
    elif how == "shutdown":
        threading.Thread(target=desk.engine.shutdown).start()
        assert sink.end().reason == "shutdown"
    else:
        gate.open()
        assert sink.end().output == {"answer": "one"}
    gate.open()
    assert not sink.of(wire.RequestStarted) or how == "nothing"


def test_cancel_during_vision(bench: Any, gate: Any, picture: Any) -> None:
    desk = bench()
    desk.model.on_encode = gate
    sink = desk.ask(image=picture("a"))
    gate.wait()
    desk.engine.cancel("r1")
    gate.open()
    assert sink.end().reason == "client"
    assert sink.text() == ""
    # The work was not in vain.
    assert desk.ask("next", image=picture("a")).end().metrics.cached_tokens == 8


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
    gate.wait()
    queued = desk.ask(deadline=106.0)
    patient = desk.ask(deadline=200.0)
    clock.now = 107.0
    gate.open()
    check_timeout(running.end())
    assert running.text() == "one two t"
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


def test_the_failure_of_a_skill_is_its_own(bench: Any, caplog: Any, monkeypatch: Any) -> None:
    desk = bench()
    consume = AnswerLoop.consume

    def explode(loop: AnswerLoop, token: Any) -> Any:
        outcome = consume(loop, token)
        if loop.text.startswith("bad "):
            raise RuntimeError("secret detail")
        return outcome

    monkeypatch.setattr(AnswerLoop, "consume", explode)
    with caplog.at_level(logging.ERROR):
        sinks = [desk.ask(text) for text in ("good one", "bad one", "as good")]
        failed = sinks[1].end()
    assert failed.error.code == "internal_error"
    assert "secret" not in failed.error.message
    assert "secret detail" in caplog.text
    assert [sinks[place].end().output["answer"] for place in (0, 2)] == ["good one", "as good"]
    assert desk.engine.stats()["failed"] == 1


def test_the_failure_of_a_step_is_that_of_its_rows(bench: Any, caplog: Any) -> None:
    desk = bench()

    def explode(fed: str) -> None:
        if fed.endswith("badba"):
            raise RuntimeError("secret detail")

    desk.model.hooks.append(explode)
    with caplog.at_level(logging.ERROR):
        assert desk.ask("bad").end().error.code == "internal_error"
    assert "secret detail" in caplog.text
    assert desk.ask("good").end().finish_reason == "stop"
    assert desk.engine.health().state == "ready"
    assert desk.engine.gauges().pages_private == 0


def test_not_a_number_fails_one_request(bench: Any, monkeypatch: Any) -> None:
    desk = bench()
    next_id = desk.model.next_id
    monkeypatch.setattr(
        desk.model, "next_id", lambda items: -1 if CONTROL_IDS + ord("?") in items else next_id(items)
    )
    asked, other = desk.ask("what?"), desk.ask("that")
    assert asked.end().error.code == "internal_error"
    assert other.end().finish_reason == "stop"


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

    def broken(*_: Any) -> None:
        raise AssertionError("bug")

    monkeypatch.setattr(Scheduler, "_commit", broken)
    gate.open()
    assert [sink.end().error.code for sink in (first, second)] == ["internal_error"] * 2
    assert "bug" in caplog.text
    with pytest.raises(errors.EngineDead, match="has failed"):
        desk.ask("third")
    assert desk.engine.stats()["status"] == "dead"


def test_a_lost_device_fails_everybody_until_the_engine_is_restarted(
    bench: Any, gate: Any, picture: Any
) -> None:
    desk = bench(max_batch=1)
    desk.model.on_crop = gate
    hold = desk.gate("firstf")
    running = desk.ask("first")
    hold.wait()
    cutting, waiting = desk.ask("cutting", image=picture("a")), desk.ask("waiting")
    desk.model.lost = "The card fell off."
    hold.open()
    for sink in (running, cutting, waiting):
        assert "The card fell off." in sink.end().error.message
    gate.open()
    assert desk.engine.health() == Health("dead", "The card fell off.")
    with pytest.raises(errors.EngineDead, match="The card fell off"):
        desk.ask("late")
    desk.engine.restart()
    assert desk.model.built == 2
    assert desk.ask("again", image=picture("a")).end().output == {"answer": "again"}
    assert desk.engine.health() == Health("ready")


def test_a_runner_that_cannot_be_built_is_told_at_the_start(bench: Any) -> None:
    model = bench().model

    def build(limits: Any) -> Any:
        raise errors.NotEnoughMemory("Too little.")

    engine = Engine(model, wire.ModelInfo("echo", ("query",)), build)
    with pytest.raises(errors.NotEnoughMemory):
        engine.start()
    with pytest.raises(errors.ShuttingDown):
        engine.submit(EngineRequest("r", SkillRequest("query", question="?")), lambda batches: None)
    engine.shutdown()


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
