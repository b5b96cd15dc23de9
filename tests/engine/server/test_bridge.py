"""P9, the loop's side: one wake-up for a tick, and a bound on what waits while the loop is busy."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.server.bridge import LoopBridge
from dreamscope.engine.server.deltas import join


class CountingLoop:
    """Counts wake-ups; `run` is when the loop gets to them."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, call: Any) -> None:
        self.calls.append(call)

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def text(request_id: str, seq: int, **fields: Any) -> wire.TextDelta:
    return wire.TextDelta(request_id=request_id, seq=seq, delta=f"{seq} ", **fields)


def test_a_tick_of_many_requests_is_one_wake_up() -> None:
    loop, seen = CountingLoop(), []
    bridge = LoopBridge(loop, lambda request_id, events: seen.append((request_id, len(events))))
    bridge.deliver([(name, [text(name, 1), text(name, 2)]) for name in "abc"])
    bridge.deliver([("a", [text("a", 3)])])
    assert len(loop.calls) == 1
    loop.run()
    assert seen == [("a", 3), ("b", 2), ("c", 2)]
    bridge.deliver([("b", [text("b", 3)])])
    assert len(loop.calls) == 1


def test_what_waits_for_a_busy_loop_is_bounded_and_complete() -> None:
    loop, seen = CountingLoop(), []
    bridge = LoopBridge(loop, lambda request_id, events: seen.extend(events))
    for seq in range(5000):
        bridge.deliver([("a", [text("a", seq, probs=((2, 0.5),))])])
    done = wire.RequestDone(request_id="a", seq=5000, finish_reason="stop", output={}, metrics=wire.Metrics())
    bridge.deliver([("a", [done])])
    loop.run()
    assert len(seen) == 65
    assert bridge.merged == 5000 - 64
    assert "".join(event.delta for event in seen[:-1]) == "".join(f"{seq} " for seq in range(5000))
    merged = seen[-2]
    assert (merged.first_seq, merged.seq, merged.n) == (63, 4999, 5000 - 63)
    assert len(merged.probs) == merged.n
    assert seen[-1] is done


def test_only_neighbours_of_a_kind_are_joined() -> None:
    reasoning = wire.ReasoningDelta(request_id="a", seq=1, delta="x")
    point = wire.PointEvent(request_id="a", seq=1, index=0, x=0.1, y=0.2)
    assert join(reasoning, text("a", 2)) is None
    assert join(point, point) is None
    assert join(text("a", 1), text("a", 2)) == wire.TextDelta(
        request_id="a", seq=2, first_seq=1, delta="1 2 ", n=2
    )


async def test_from_another_thread_to_the_loop() -> None:
    seen: list[wire.Message] = []
    ended = asyncio.Event()

    def publish(request_id: str, events: list[wire.Message]) -> None:
        seen.extend(events)
        if len(seen) == 300:
            ended.set()

    bridge = LoopBridge(asyncio.get_running_loop(), publish, limit=1000)
    batches = [[("a", [text("a", seq)])] for seq in range(300)]
    thread = threading.Thread(target=lambda: [bridge.deliver(batch) for batch in batches])
    thread.start()
    await asyncio.wait_for(ended.wait(), 20)
    thread.join()
    assert [event.seq for event in seen] == list(range(300))
