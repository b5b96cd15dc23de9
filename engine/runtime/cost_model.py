"""What overlapping host and device is worth, from six times; and whether it pays now.

    blocking    f + s + c + bl + bc + max(bm - f, 0)      mask building may hide under its own forward
    pipelined   max(f + s,  bl + bm + bc,  c + bc + bm + s)

The pipelined period is bounded by the device, by the host, or by the chain from the copy of one step over
its commit and the next mask to the next sampling. Against it stands waste: the step launched before the end
of a request was known. On one stream that is one forward in every L + 1; in a batch it costs one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Milliseconds: forward, sampling, copy to the host; plan and launch, mask and sampling call, commit."""

    f: float
    s: float
    c: float
    bl: float
    bm: float
    bc: float

    @property
    def blocking(self) -> float:
        """Time from step to step with one in flight."""
        return self.f + self.s + self.c + self.bl + self.bc + max(self.bm - self.f, 0.0)

    @property
    def pipelined(self) -> float:
        """Time from step to step with two in flight."""
        return max(self.f + self.s, self.bl + self.bm + self.bc, self.c + self.bc + self.bm + self.s)

    @property
    def gain(self) -> float:
        """How much faster steps follow each other, 0.35 for 35 %; waste is not in it."""
        return self.blocking / self.pipelined - 1


def waste(decode_steps: float, row_share: float = 1.0) -> float:
    """The share of device time spent on rows that had ended.

    `decode_steps` per request that ended by itself; `row_share` is what a row adds to a step, of the step.
    """
    return row_share / (decode_steps + 1)


def speedup(times: StepTimes, decode_steps: float, row_share: float = 1.0) -> float:
    """Depth 2 over depth 1, end to end."""
    return (1 + times.gain) * (1 - waste(decode_steps, row_share))


def pays(times: StepTimes, decode_steps: float) -> bool:
    """Whether one stream is faster with two steps in flight: break-even is one step in `decode_steps`."""
    return times.gain * decode_steps > 1


class Depth(Protocol):
    """How many steps may be in flight."""

    def choose(self, streams: int) -> int:
        """1 or 2, for so many requests that decode or wait."""

    def observe(self, times: StepTimes) -> None:
        """A decode step of one row took this long."""

    def ended(self, decode_steps: int) -> None:
        """A request ended by itself after so many steps."""


class AdaptiveDepth:
    """Chooses the depth from what steps and requests were like so far. A batch always overlaps."""

    def __init__(self, start: StepTimes | None = None, decode_steps: float = 30.0) -> None:
        self.times = start
        self.decode_steps = decode_steps

    def choose(self, streams: int) -> int:
        """1 or 2, for so many requests that decode."""
        if streams >= 2 or self.times is None:
            return 2
        return 2 if pays(self.times, self.decode_steps) else 1

    def observe(self, times: StepTimes) -> None:
        """A decode step of one row took this long."""
        if self.times is None:
            self.times = times
            return
        old = self.times
        pairs = ((getattr(old, name), getattr(times, name)) for name in StepTimes.__slots__)
        self.times = StepTimes(*(before + SMOOTHING * (now - before) for before, now in pairs))

    def ended(self, decode_steps: int) -> None:
        """A request ended by itself after so many steps."""
        self.decode_steps += SMOOTHING * (decode_steps - self.decode_steps)


class FixedDepth:
    """The depth that somebody asked for; may be changed between two ticks."""

    def __init__(self, depth: int) -> None:
        """Raises `ValueError` for anything but 1 and 2."""
        if depth not in (1, 2):
            raise ValueError(f"The depth is 1 or 2, not {depth}.")
        self.depth = depth

    def choose(self, streams: int) -> int:
        """The depth."""
        return self.depth

    def observe(self, times: StepTimes) -> None:
        """Nothing is learnt."""

    def ended(self, decode_steps: int) -> None:
        """Nothing is learnt."""
