"""P9, the engine's side: deltas add up, a slow consumer costs nothing, a gone one ends its request."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from dreamscope.engine import wire

ALPHABET = "aé猫🐕🇩🇪👩‍👩‍👧 \n.\u0301"


@pytest.mark.parametrize("seed", range(8))
def test_the_deltas_are_the_text_whatever_its_characters(bench: Any, seed: int) -> None:
    draw = random.Random(seed)
    desk = bench()
    texts = ["".join(draw.choices(ALPHABET, k=draw.randint(1, 25))) for _ in range(4)]
    sinks = [desk.ask(text, max_tokens=draw.choice((200, 10))) for text in texts]
    for sink, text in zip(sinks, texts, strict=True):
        done = sink.end()
        assert sink.text() == done.output["answer"]
        if done.finish_reason == "stop":
            assert sink.text() == text
        else:
            assert text.startswith(sink.text().rstrip("\ufffd"))
        assert all("\ufffd" not in delta.delta for delta in sink.of(wire.TextDelta)[:-1])


def test_a_consumer_that_is_gone_ends_its_request_within_a_tick(bench: Any, caplog: Any) -> None:
    desk = bench()
    forwards: list[str] = []
    desk.model.hooks.append(forwards.append)
    gone = threading.Event()

    def deliver(batches: Any) -> None:
        if any(isinstance(event, wire.TextDelta) for _, events in batches for event in events):
            forwards.append("gone")
            gone.set()
            raise OSError("The socket is closed.")

    desk.ask("one two three four five", sink=deliver)
    assert gone.wait(20)
    assert desk.ask("next").end().finish_reason == "stop"
    after = [fed for fed in forwards[forwards.index("gone") :] if "five" in fed]
    assert len(after) <= 1
    assert "The socket is closed." in caplog.text
    assert desk.engine.stats()["cancelled"] == 1


def test_events_of_a_request_are_in_order_whoever_it_shares_its_steps_with(bench: Any, picture: Any) -> None:
    desk = bench()
    sinks = [desk.ask("cat", skill=skill, image=picture("a")) for skill in ("point", "detect", "query")]
    for sink in sinks:
        sink.end()  # checks numbers and times
    assert [event.wire_type for event in sinks[1].events[2:]] == ["box.center", "box", "request.done"]
