"""Time, as an object that is passed in, so that tests move it instead of waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Forget the call; harmless when it already happened."""


class Clock(Protocol):
    """Monotonic seconds and delayed calls, both on the event loop."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback()` after `delay` seconds."""


class LoopClock:
    """The real clock; needs a running event loop in `call_later`."""

    def now(self) -> float:
        """Seconds of `time.monotonic`, the clock of the event loop and of the engine thread."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Schedule on the running loop."""
        return asyncio.get_running_loop().call_later(delay, callback)
