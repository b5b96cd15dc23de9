"""What a runner needs of a model: passes over a batch of rows, queued by one thread, that wait for nothing.

`models.batched` implements it over the operations of a device; how and when the passes run is the runner's.
Arrays that go in may be changed by the caller once the pass was queued on the same stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device, Mirror
from dreamscope.engine.devices.runner import Limits, Prefill, Rule


@dataclass(frozen=True, slots=True)
class Features:
    """Of the last position of each row: the residual stream `[n, D]`, and float32 logits `[n, V]`."""

    hidden: Array
    logits: Array


@dataclass(frozen=True, slots=True)
class Feeds:
    """The rows of a decode step and their positions, ints `[n]`.

    `adapters` are slots `[n]`, `None` if nobody uses one. `span`: how many positions the longest row has,
    its new one included.
    """

    rows: Array
    positions: Array
    adapters: Array | None
    span: Any


@dataclass(frozen=True, slots=True)
class Draw:
    """How rows draw: `[n]` float32 each, `uniforms` `[n, HEADS]`."""

    temperature: Array
    top_p: Array
    uniforms: Array


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided. `picked` ints `[n, 4]`: id, bins of a coordinate, a width and a height; ids are -1
    where none was possible.

    `coord` and `size` are the logits of the bins, `[n, bins]` and `[n, 2, bins]`, `None` if no rule reads
    one; like the bins they mean something only where the id announces a number. `probability` float32 `[n]`
    is what the model gives to the id, before temperature and rules.
    """

    picked: Array
    coord: Array | None
    size: Array | None
    probability: Array


class Program(Protocol):
    """A model over many sequences, with their keys, values and pending elements."""

    @property
    def device(self) -> Device:
        """Where it computes."""

    @property
    def limits(self) -> Limits:
        """Its sizes."""

    @property
    def table(self) -> Mirror:
        """The page of every position of every row, `[rows, max_seq]`."""

    @property
    def adapters_version(self) -> int:
        """Changes when arrays that passes with adapters read were replaced."""

    def state(self) -> Sequence[Any]:
        """Everything that passes read and write: arrays in dataclasses and sequences."""

    def set_rule(self, index: int, rule: Rule) -> None:
        """Write a rule on the host; nothing under way may use that index."""

    def upload_rules(self) -> None:
        """Bring what was written since to the device."""

    def reads_numbers(self, rules: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a number."""

    def reads_sizes(self, rules: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a size."""

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Put an adapter into a slot."""

    def prefill(self, prompts: Sequence[Prefill]) -> Features:
        """Read prompts into their pages. Raises `ValueError` if they use different adapters."""

    def decode(self, feeds: Feeds) -> Features:
        """Feed every row its pending element, which takes its position."""

    def read(self, ids: Array, row: Array, positions: Array, span: Any) -> Features:
        """Read ids `[N]` at `positions` of one `row` `[1]`, which has `span` positions with them.

        What `prefill` does for such a prompt, but `span` may be an array, and no size is looked at.
        """

    def choose(
        self,
        rows: Array,
        features: Features,
        rules: Array,
        draw: Draw | None,
        numbers: bool,
        sizes: bool = True,
    ) -> Choice:
        """Decide for rows `[n]`, and leave it pending. `draw` is `None` if all are greedy.

        `numbers`: whether a rule reads one; `sizes` may say that none of them is a size.
        """


class Batchable(Protocol):
    """A model that can be a program."""

    def batched(self, limits: Limits | None = None) -> Program:
        """Itself over many sequences, with memory for them: by default as much as seems right."""
