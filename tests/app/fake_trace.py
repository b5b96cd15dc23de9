"""What the fake engine tells of its steps: eight rows, 10 ms a step, made up from the clock.

With one step in flight 2 ms of every step are a bubble; with two there is none, and every 8th step carries
two zombies. Every 15th step is a prefill. On automatic, as it begins, nothing runs. Sprite 3 is dead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from dreamscope.engine import wire

STEP_MS = 10.0
ROWS = 8
FORECAST = wire.Forecast(ROWS, 8.0, 1.2, 0.3, 0.5, 10.0, 8.0, 0.25, 10.1, 8.1)


class FakeTrace:
    """The feed of one connection. `depths` has what was asked of each model, for all connections."""

    def __init__(
        self,
        send: Callable[[wire.Message], Awaitable[None]],
        depths: dict[str, str],
        requests: Callable[[], Sequence[str]],
    ) -> None:
        self._send = send
        self._depths = depths
        self._requests = requests
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, message: wire.TraceSubscribe) -> None:
        """From now on tell of the steps of this model."""
        self.stop()
        if message.interval_ms:
            self._task = asyncio.create_task(self._tell(message.model or "", message.interval_ms / 1000))

    def stop(self) -> None:
        """Tell nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _tell(self, model: str, seconds: float) -> None:
        told = int(time.monotonic() * 1000 / STEP_MS) - 50
        while True:
            now = time.monotonic() * 1000
            choice = self._depths.get(model, "auto")
            due = range(told + 1, int(now / STEP_MS))
            told = due.stop - 1
            busy = choice != "auto" and model != "sprite-3"
            named = (*self._requests(), *(f"other-{row}" for row in range(ROWS)))[:ROWS]
            await self._send(
                wire.Trace(
                    model=model,
                    state="dead" if model == "sprite-3" else "ready",
                    reason="The device is lost." if model == "sprite-3" else None,
                    clock_ms=now,
                    steps=tuple(step(index, 1 if choice == "1" else 2) for index in due) if busy else (),
                    requests=named,
                    depth=1 if choice == "1" else 2,
                    choice=choice,
                    gauges=GAUGES if busy else {**GAUGES, "running": 0, "in_flight": 0},
                    totals=TOTALS,
                    predicted=FORECAST if busy else None,
                )
            )
            await asyncio.sleep(seconds)


def step(index: int, depth: int) -> wire.TraceStep:
    """The step of this number; it ends at `index * STEP_MS`."""
    end = index * STEP_MS
    prefill = index % 15 == 0
    idle = 2.0 if depth == 1 else 0.0
    device = (end - STEP_MS + idle, end)
    launch = (device[0] - 1.2, device[0]) if depth == 1 else (end - 19.2, end - 18.0)
    mask = (launch[1], launch[1] + 0.3) if depth == 1 else (end - 9.5, end - 9.2)
    return wire.TraceStep(
        index=index,
        kind="prefill" if prefill else "decode",
        slot=0 if depth == 1 else index % 2,
        depth=depth,
        rows=(0,) if prefill else tuple(range(ROWS)),
        zombies=2 if depth == 2 and index % 8 == 1 and not prefill else 0,
        positions=740 if prefill else ROWS,
        launch=launch,
        mask=mask,
        wait=(end - 7.5, end),
        commit=(end, end + 0.5),
        device=device,
        idle=idle,
    )


GAUGES = {
    "in_flight": 2,
    "running": ROWS,
    "waiting": 0,
    "pages_free": 80_000,
    "pages_cached": 1_400,
    "pages_private": 5_800,
    "pages_reclaimable": 1_400,
    "evictions": 0,
    "hit_positions": 7_300,
    "prompt_positions": 7_500,
    "images_cached": 4,
    "adapters_used": 0,
}
TOTALS = {
    "completed": 12,
    "cancelled": 1,
    "failed": 0,
    "input_tokens": 7_500,
    "output_tokens": 800,
    "cached_tokens": 7_300,
    "prefill_steps": 13,
    "decode_steps": 120,
    "decode_rows": 900,
    "zombie_rows": 4,
    "device_ms": 1_040.0,
    "idle_ms": 30.0,
}
