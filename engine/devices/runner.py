"""Steps on a device, as the scheduler sees them: rows in, token ids out, and nothing waits but an event.

A row is an index into what the device keeps for a sequence: the pages of its keys and values, and its
pending token, which is the last one sampled. The next forward reads the pending token where it lies. Row 0
and page 0 pad a batch and belong to nobody; a page holds one position of all layers.

    prefill(slot, rows) or decode(slot, rows, ...)     queue a forward
    sample(slot, masks) -> event                       queue its sampling and the copy to the host
    event.wait(); read(slot)                           the tokens

The forward and the sampling of all steps run in the order in which they were queued. Only `Event.wait` and
`fence` block. What fails on the device later than its call surfaces at `Event.wait`.

Who implements this: `sim.py` here, and a runner for each way to compute a real model.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HEADS = 4
"""Uniform numbers of a decision: for the id, a coordinate, a width and a height."""
FREE = 0
"""The mask that forbids nothing and reads no number."""

Element = Hashable
"""A piece of a prompt: a token id, a coordinate or a size of `models.tokens`, or an `ImageKey`."""


class DeviceLost(RuntimeError):
    """The device cannot go on; a new runner is needed. Any other exception fails a single step."""


@dataclass(frozen=True, slots=True)
class ImageKey:
    """An image in a prompt: one element that covers many positions, all of which see each other.

    Directly after BOS the block takes BOS in.
    """

    digest: str
    positions: int


def positions_of(elements: Sequence[Element]) -> int:
    """How many positions the elements cover."""
    return sum(element.positions if isinstance(element, ImageKey) else 1 for element in elements)


@dataclass(frozen=True, slots=True)
class Rule:
    """What the next id may be, and what the row reads from its hidden state beside it.

    An id of `numbers` announces the number that this hidden state holds: it is the number that the next
    forward embeds, not the id. `folded` stands in for every id but the end (0): then any id announces it.
    `mask` is `allowed` for large sets, a bool for each of the first ids; ids beyond are forbidden.
    """

    allowed: frozenset[int] | None = None
    suppressed: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()
    folded: int | None = None
    mask: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """One prompt to be read. The keys and values of its first `skip` elements lie in the row's pages.

    Without a hit the first block of BOS and image is bidirectional; `images` are the payloads of the images
    among the other elements, in order.
    """

    row: int
    adapter: int
    elements: Sequence[Element]
    skip: int
    images: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How the ids of a step are chosen: `[n]` float32 each, `uniforms` `[n, HEADS]`, `None` if all greedy.

    `detail`: whether somebody wants to know how sure the model was.
    """

    temperature: NDArray[np.float32]
    top_p: NDArray[np.float32]
    uniforms: NDArray[np.float32] | None
    detail: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What the model itself held likely, before temperature, nucleus and rules: float32.

    `probability` `[n]` of the ids as they were chosen, before a `folded` one stands in for them. `coord`
    `[n, bins]` and `size` `[n, 2, bins]` are logits, there if a rule of the step reads one, and like the bins
    they mean something only where the id announced a number.
    """

    probability: NDArray[np.float32]
    coord: NDArray[np.float32] | None
    size: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class StepHost:
    """A step on the host, in the order of its rows.

    `ids` int64 `[n]`, -1 where no id was possible (NaN, or everything forbidden). `coord` int32 `[n]` and
    `size` int32 `[n, 2]` are bins, and mean something only where the id announced a number. `logprob`
    float32 `[n]` of the whole decision, if the runner computes it. `detail` as `Draws` asked for it.
    """

    ids: NDArray[np.int64]
    coord: NDArray[np.int32]
    size: NDArray[np.int32]
    logprob: NDArray[np.float32] | None = None
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that are fixed when a runner is built.

    `rows` counts row 0 and one more than `max_batch`, so that a prompt can be read while the batch is full.
    Masks 1 to `masks` keep their rule; the `2 * rows` after them are rewritten with every step.
    """

    max_batch: int
    rows: int
    max_seq: int
    vocab: int
    n_pages: int
    masks: int = 64
    mixed_adapter_prefill: bool = False


class Event(Protocol):
    """The end of a step on the device, with its copy to the host."""

    def query(self) -> bool:
        """Whether it has happened."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until it has. Raises what went wrong in the step, or `TimeoutError`."""

    def ready_at(self) -> float:
        """When it happened, in seconds of the clock of the scheduler. Only after `wait`."""


class ModelRunner(Protocol):
    """A model on a device. All calls come from the one thread that owns it."""

    name: str
    limits: Limits

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map the positions of a row, from 0 on. The next launch that uses the row sees it."""

    def set_mask(self, index: int, rule: Rule) -> None:
        """Put a rule into the table of masks. A permanent one is set once."""

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Put an adapter into a slot, 1 and up, in the order of the steps; slot 0 is none."""

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Queue a forward over prompts; logits of their last positions."""

    def decode(
        self,
        slot: int,
        rows: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapters: NDArray[np.int32],
        draws: Draws,
    ) -> None:
        """Queue a forward of the pending token of each row, which takes its position."""

    def sample(self, slot: int, masks: NDArray[np.int32]) -> Event:
        """Queue the choice of ids and numbers under a mask for each row, the pending tokens, and the copy."""

    def read(self, slot: int) -> StepHost:
        """The step whose event has happened. Valid until the slot is used again; touches no device."""

    def fence(self) -> None:
        """Wait until everything queued is over, failed or not. Raises `DeviceLost` only."""

    def close(self) -> None:
        """Let go of the device."""
