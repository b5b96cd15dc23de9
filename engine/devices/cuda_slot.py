"""The working set of a step on a card: fixed memory on both sides, allocated once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dreamscope.engine.devices.cuda_card import Card
from dreamscope.engine.devices.program import Choice, Draw, Features
from dreamscope.engine.devices.runner import HEADS, Detail, Draws, StepHost

_ROW_BYTES = 3 * 8 + (2 + HEADS) * 4


class Meta:
    """What a launch takes along, packed: int64 and float32 `[rows]` each, `uniforms` `[rows, HEADS]`.

    What is not filled is row 0 at position 0, which pads a batch.
    """

    def __init__(self, buffer: torch.Tensor) -> None:
        """`buffer` uint8, as long as `size` says."""
        rows = len(buffer) // _ROW_BYTES
        self.buffer = buffer
        self.rows, self.positions, self.adapters = buffer[: 24 * rows].view(torch.int64).view(3, rows)
        floats = buffer[24 * rows :].view(torch.float32)
        self.temperature, self.top_p = floats[: 2 * rows].view(2, rows)
        self.uniforms = floats[2 * rows :].view(rows, HEADS)

    @staticmethod
    def size(rows: int) -> tuple[int]:
        """Bytes of the buffer."""
        return (rows * _ROW_BYTES,)

    def begin(self, rows: Sequence[int] | NDArray[np.integer], draws: Draws) -> None:
        """Write who takes part and how they draw; on the host."""
        count = len(rows)
        self.buffer.zero_()
        self.rows.numpy()[:count] = rows
        self.temperature.numpy()[:count], self.top_p.numpy()[:count] = draws.temperature, draws.top_p
        if draws.uniforms is not None:
            self.uniforms.numpy()[:count] = draws.uniforms

    def place(self, positions: NDArray[np.integer], adapters: NDArray[np.integer]) -> None:
        """Write where their tokens go; on the host."""
        self.positions.numpy()[: len(positions)] = positions
        self.adapters.numpy()[: len(adapters)] = adapters

    def draw(self, count: int) -> Draw:
        """How the first rows draw."""
        return Draw(self.temperature[:count], self.top_p[:count], self.uniforms[:count])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step decides, on one side.

    `picked` int64 `[rows, 4]`, float32 `probability` `[rows]`, logits of bins `coord` `[rows, bins]` and
    `size` `[rows, 2, bins]`.
    """

    picked: torch.Tensor
    probability: torch.Tensor
    coord: torch.Tensor
    size: torch.Tensor

    def parts(self, detail: bool) -> tuple[torch.Tensor, ...]:
        """What the host wants to see."""
        return (self.picked, self.probability, self.coord, self.size) if detail else (self.picked,)


class Slot:
    """One of the two. Its memory belongs to a step from the launch until its commit has returned (I6)."""

    def __init__(self, card: Card, rows: int, features: Features, choice: Choice) -> None:
        """`features` and `choice` of some rows show the shapes; the choice was one with numbers."""
        assert choice.coord is not None
        assert choice.size is not None
        self.host_meta = Meta(card.pinned(Meta.size(rows), torch.uint8))
        self.meta = Meta(card.zeros(Meta.size(rows), torch.uint8))
        self.host_rules = card.pinned((rows,), torch.int64)
        self.rules = card.zeros((rows,), torch.int64)
        like = (choice.picked, choice.probability, choice.coord, choice.size)
        self.outcome = Outcome(*(card.zeros((rows, *part.shape[1:]), part.dtype) for part in like))
        self.landing = Outcome(*(card.pinned((rows, *part.shape[1:]), part.dtype) for part in like))
        kept = (features.hidden, features.logits)
        self.features = Features(*(card.zeros((rows, *part.shape[1:]), part.dtype) for part in kept))
        self.mask_ready, self.step_done, self.copied = (card.event() for _ in range(3))
        self.count = 0
        self.draws = self.detail = self.reads_numbers = False

    # --------------------------------------------------------------------------------------- on the host

    def begin(self, rows: Sequence[int] | NDArray[np.integer], draws: Draws) -> None:
        """A new step."""
        self.count = len(rows)
        self.draws, self.detail = draws.uniforms is not None, draws.detail
        self.host_meta.begin(rows, draws)

    def set_rules(self, rules: NDArray[np.integer], read_numbers: bool) -> None:
        """The masks of its rows, and whether one of them reads a number."""
        self.reads_numbers = read_numbers
        self.host_rules.zero_()
        self.host_rules.numpy()[: self.count] = rules

    def read(self) -> StepHost:
        """What has landed."""
        picked, probability, coord, size = (part[: self.count].numpy() for part in self.landing.parts(True))
        detail = None
        if self.detail:
            detail = Detail(probability, *((coord, size) if self.reads_numbers else (None, None)))
        bins = picked[:, 1:].astype(np.int32)
        return StepHost(picked[:, 0], bins[:, 0], bins[:, 1:], detail=detail)

    # ------------------------------------------------------------------------ work, queued by who calls it

    def upload_meta(self) -> None:
        """One copy."""
        self.meta.buffer.copy_(self.host_meta.buffer, non_blocking=True)

    def upload_rules(self) -> None:
        """One copy."""
        self.rules.copy_(self.host_rules, non_blocking=True)

    def keep(self, features: Features, count: int) -> None:
        """The features of the first rows."""
        self.features.hidden[:count] = features.hidden
        self.features.logits[:count] = features.logits

    def first_features(self, count: int) -> Features:
        """As they were kept."""
        return Features(self.features.hidden[:count], self.features.logits[:count])

    def decide(self, choice: Choice, count: int) -> None:
        """The choice for the first rows."""
        decided = (choice.picked, choice.probability, choice.coord, choice.size)
        for mine, part in zip(self.outcome.parts(True), decided, strict=True):
            if part is not None:
                mine[:count] = part

    def land(self) -> None:
        """Copy the outcome to the host."""
        pairs = zip(self.landing.parts(self.detail), self.outcome.parts(self.detail), strict=True)
        for landing, outcome in pairs:
            landing[: self.count].copy_(outcome[: self.count], non_blocking=True)
