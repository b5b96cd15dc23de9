"""What overlapping host and device is worth, from the times of a step; and whether it pays now.

    blocking    w + f + s + c + bl + bc + max(bm + bd - w - f, 0)     what follows a launch may hide under it
    pipelined   max(f + s,  bl + bm + bc + bd,  c + bc + bm + s)

The pipelined period is bounded by the device, by the host, or by the chain from the copy of one step over
its commit and the next mask to the next sampling. A device that has waited takes longer, by w: a thread
wakes up, on a core that has forgotten its work; only blocking pays that. Against it stands waste: the step
launched before the end of a request was known. On one stream that is one forward in every L + 1; in a batch
it costs one row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

SMOOTHING = 0.1
"""Of the times of steps."""
LEARNING = 0.25
"""Of how far apart the ends are, of which there are fewer."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Milliseconds: forward, sampling, copy to the host; plan and launch, mask and sampling call, commit,
    delivery; and what forward and sampling take longer when the device has waited for them.
    """

    f: float
    s: float
    c: float
    bl: float
    bm: float
    bc: float
    bd: float = 0.0
    w: float = 0.0

    @property
    def blocking(self) -> float:
        """Time from step to step with one in flight."""
        forward = self.w + self.f
        return forward + self.s + self.c + self.bl + self.bc + max(self.bm + self.bd - forward, 0.0)

    @property
    def pipelined(self) -> float:
        """Time from step to step with two in flight."""
        return max(self.f + self.s, self.book, self.c + self.bc + self.bm + self.s)

    @property
    def book(self) -> float:
        """All that the host does for a step."""
        return self.bl + self.bm + self.bc + self.bd

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

    def observe(self, rows: int, times: StepTimes, waited: bool = False) -> None:
        """A decode step of so many rows took this long; `waited`: the device had nothing to do before it."""

    def emptied(self) -> None:
        """Nobody decodes any more, and at least one has ended by itself: a step behind would be wasted."""


class AdaptiveDepth:
    """Chooses the depth from what steps and requests were like so far.

    What a second step costs is the step that nobody needs, when everybody who rode in the one before it has
    ended: on one stream after every answer, in a batch when all answers end together. A zombie among others
    is only a row. So it pays if the gain of the steps between two such ends is more than a step.
    """

    def __init__(self, start: StepTimes | None = None, run: float = 30.0) -> None:
        """`start`: what a step is taken to be like until one of its size was seen; `run`: as below."""
        self.run = run
        """Decode steps from one such end to the next."""
        self._start = start
        self._times: dict[int, StepTimes] = {}  # of steps whose rows have so many binary digits
        self._waited: dict[int, StepTimes] = {}  # of those for which the device had waited
        self._steps = self._ends = 0

    def times(self, rows: int) -> StepTimes | None:
        """What a step of about so many rows is like."""
        size = rows.bit_length()
        in_a_row, waited = self._times.get(size, self._start), self._waited.get(size)
        if in_a_row is None or waited is None:
            return in_a_row or waited
        return replace(in_a_row, w=max(0.0, waited.f - in_a_row.f))

    def choose(self, streams: int) -> int:
        """1 or 2, for so many requests that decode or wait."""
        times = self.times(streams)
        worth = self.run >= 1 if times is None else pays(times, self.run + 1)  # a prompt is a step as well
        return 2 if worth else 1

    def observe(self, rows: int, times: StepTimes, waited: bool = False) -> None:
        """A decode step of so many rows took this long; the device's time is all in `f`."""
        self._steps += 1
        kept, start = (self._waited, None) if waited else (self._times, self._start)
        old = kept.get(rows.bit_length(), start)
        if old is not None:
            pairs = ((getattr(old, name), getattr(times, name)) for name in StepTimes.__slots__)
            times = StepTimes(*(before + SMOOTHING * (now - before) for before, now in pairs))
        kept[rows.bit_length()] = times

    def emptied(self) -> None:
        """A step behind would be wasted."""
        self._ends += 1
        self.run += max(LEARNING, 1 / self._ends) * (self._steps - self.run)
        self._steps = 0


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

    def observe(self, rows: int, times: StepTimes, waited: bool = False) -> None:
        """Nothing is learnt."""

    def emptied(self) -> None:
        """Nothing is learnt."""
