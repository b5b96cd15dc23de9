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

from collections import Counter
from typing import NamedTuple, Protocol

SMOOTHING = 0.1
"""Of the times of steps."""
FADING, HOPE = 0.005, 0.5
"""With every step the times of the other kind of steps move a little: those of steps for which the device
waits towards what this one took, those of steps in a row towards half of it.
"""
HOPED, RETRIED = 10, 0.5
"""After so many hopes, of the first step that shows whether they were right."""
LEARNING = 0.25
"""Of how far apart the ends are, of which there are fewer."""
LONG = 100.0
"""Milliseconds; no pause counts as longer, as the next may be short."""


class StepTimes(NamedTuple):
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


def pays(times: StepTimes, decode_steps: float, share: float = 1.0) -> bool:
    """Whether two steps in flight are faster, with one wasted after every `decode_steps`.

    `share`: how long the wasted one takes, of the others.
    """
    return times.gain * decode_steps > share


class Depth(Protocol):
    """How many steps may be in flight."""

    def choose(self, streams: int) -> int:
        """1 or 2, for so many requests that decode or wait."""

    def observe(self, rows: int, times: StepTimes, waited: bool = False) -> None:
        """A decode step of so many rows took this long; `waited`: the device had nothing to do before it."""

    def useful(self) -> None:
        """A step, of a prompt or not, was not wasted."""

    def emptied(self, rows: int) -> None:
        """Nobody decodes any more, and one of so many rows at least has ended by itself: a step behind
        would be wasted on them.
        """

    def resumed(self, pause: float) -> None:
        """So many milliseconds after such an end somebody came."""


class AdaptiveDepth:
    """Chooses the depth from what steps and requests were like so far.

    What a second step costs is the step that nobody needs, when everybody who rode in the one before it has
    ended: on one stream after every answer, in a batch when all answers end together. A zombie among others
    is only a row. So it pays if the gain of the steps between two such ends, prompts among them, is more than
    what is left of that step when somebody comes, and it may have fewer rows than the others.

    What is not seen any more, as the other depth is used, must not be believed for ever. No step takes longer
    in a row than after waiting; the price of waiting fades while nobody waits; and while everybody waits,
    steps in a row are hoped to take less and less, until they are tried again.
    """

    def __init__(self, run: float = 30.0) -> None:
        """`run`: what is expected at first."""
        self.run = run
        """Steps from one such end to the next."""
        self._times: dict[int, StepTimes] = {}  # of steps whose rows have so many binary digits
        self._waited: dict[int, StepTimes] = {}  # of those for which the device had waited
        self._hoped: Counter[int] = Counter()  # how often, since steps in a row were seen
        self._steps = self._ends = 0
        self._last: float | None = None  # rows of the step before such an end
        self._pause = 0.0  # milliseconds that nobody wants the device for after it
        self._chosen: dict[int, int] = {}  # what follows from all this, by streams

    def times(self, rows: int) -> StepTimes | None:
        """What a step of about so many rows is like: of those that were seen, the nearest in size."""
        if not self._times:
            return None
        size = min(self._times, key=lambda seen: abs(seen - rows.bit_length()))
        in_a_row = self._times[size]
        return in_a_row._replace(w=max(0.0, self._waited.get(size, in_a_row).f - in_a_row.f))

    def choose(self, streams: int) -> int:
        """1 or 2, for so many requests that decode or wait."""
        if streams not in self._chosen:
            self._chosen[streams] = 2 if self._pays(streams) else 1
        return self._chosen[streams]

    def _pays(self, streams: int) -> bool:
        times = self.times(streams)
        if times is None:
            return self.run > 1
        last = None if self._last is None else self.times(round(self._last))
        wasted = times.pipelined if last is None else min(last.pipelined, times.pipelined)
        return pays(times, self.run, max(0.0, wasted - self._pause) / times.pipelined)

    def observe(self, rows: int, times: StepTimes, waited: bool = False) -> None:
        """A decode step of so many rows took this long; the device's time is all in `f`."""
        self._chosen.clear()
        size = rows.bit_length()
        if waited:
            now = self._waited[size] = _moved(self._waited.get(size), times, SMOOTHING)
            f = min(self._times.get(size, now).f, now.f)
            self._times[size] = now._replace(f=f + FADING * (min(f, HOPE * now.f) - f))
            self._hoped[size] += 1
        else:
            share = RETRIED if self._hoped.pop(size, 0) >= HOPED else SMOOTHING
            now = self._times[size] = _moved(self._times.get(size), times, share)
            if size in self._waited:
                self._waited[size] = _moved(self._waited[size], now, FADING)

    def useful(self) -> None:
        """A step was not wasted."""
        self._steps += 1

    def emptied(self, rows: int) -> None:
        """A step behind would be wasted."""
        self._chosen.clear()
        self._ends += 1
        share = max(LEARNING, 1 / self._ends)
        self.run += share * (self._steps - self.run)
        self._last = rows if self._last is None else self._last + share * (rows - self._last)
        self._steps = 0

    def resumed(self, pause: float) -> None:
        """Somebody came."""
        self._chosen.clear()
        self._pause += LEARNING * (min(pause, LONG) - self._pause)


def _moved(old: StepTimes | None, now: StepTimes, share: float) -> StepTimes:
    """`old`, moved towards `now`."""
    if old is None:
        return now
    return StepTimes(*[before + share * (after - before) for before, after in zip(old, now, strict=True)])


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

    def useful(self) -> None:
        """Nothing is learnt."""

    def resumed(self, pause: float) -> None:
        """Nothing is learnt."""

    def emptied(self, rows: int) -> None:
        """Nothing is learnt."""
