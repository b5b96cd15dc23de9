"""The passes of a program on a card: replayed as CUDA graphs where a shape comes back, else queued anew.

A graph repeats operations on fixed memory, so it reads its step from the slot and leaves the outcome there,
and a step of n rows runs the smallest bucket that holds it. What is not captured: prefill, and decode steps
with adapters, whose arrays may be replaced by larger ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from itertools import product

from dreamscope.engine.devices.cuda_card import Card, Stream, Work
from dreamscope.engine.devices.cuda_slot import Slot
from dreamscope.engine.devices.program import Feeds, Program


def buckets_to(largest: int) -> tuple[int, ...]:
    """1, 2, 4, 8, then every 16, and the largest."""
    return (*(n for n in (1, 2, 4, 8, *range(16, largest, 16)) if n < largest), largest)


class Passes:
    """Decode and choice for the slots. Both give work to be run in the compute stream."""

    def __init__(self, program: Program, buckets: Sequence[int]) -> None:
        """`buckets`: numbers of rows, rising."""
        self._program = program
        self._buckets = buckets
        self._graphs: dict[Hashable, Work] = {}

    def capture(self, card: Card, stream: Stream, slots: Sequence[Slot]) -> None:
        """Make graphs of everything that comes back, the largest first, so that the others fit its memory."""
        for bucket, slot in product(reversed(self._buckets), slots):
            forward = partial(self._decode, slot, bucket, self._program.limits.max_seq, False)
            self._graphs[slot, bucket] = card.capture(stream, forward)
            for draws, numbers in product((False, True), repeat=2):
                work = partial(self._choose, slot, bucket, draws, numbers)
                self._graphs[slot, bucket, draws, numbers] = card.capture(stream, work)

    def forget(self) -> None:
        """Drop all graphs."""
        self._graphs.clear()

    def decode(self, slot: Slot, count: int, span: int, adapted: bool) -> Work:
        """Feed the rows of a slot, none of which is longer than `span`. Raises `ValueError` if too many."""
        bucket = self._bucket(count)
        graph = None if adapted else self._graphs.get((slot, bucket))
        return graph or partial(self._decode, slot, bucket, span, adapted)

    def choose(self, slot: Slot, count: int, draws: bool, numbers: bool) -> Work:
        """Decide for the rows of a slot. Raises `ValueError` if they are too many."""
        bucket = self._bucket(count)
        graph = self._graphs.get((slot, bucket, draws, numbers))
        return graph or partial(self._choose, slot, bucket, draws, numbers)

    def _bucket(self, count: int) -> int:
        for bucket in self._buckets:
            if bucket >= count:
                return bucket
        raise ValueError(f"A step of {count} rows; there is room for {self._buckets[-1]}.")

    def _decode(self, slot: Slot, bucket: int, span: int, adapted: bool) -> None:
        meta = slot.meta
        adapters = meta.adapters[:bucket] if adapted else None
        feeds = Feeds(meta.rows[:bucket], meta.positions[:bucket], adapters, span)
        slot.keep(self._program.decode(feeds), bucket)

    def _choose(self, slot: Slot, bucket: int, draws: bool, numbers: bool) -> None:
        draw = slot.meta.draw(bucket) if draws else None
        features, rows = slot.first_features(bucket), slot.meta.rows[:bucket]
        choice = self._program.choose(rows, features, slot.rules[:bucket], draw, numbers)
        slot.decide(choice, bucket)
