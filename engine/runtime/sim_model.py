"""A model without weights on a device without hardware: everything around a model runs, and means nothing.

It has the vocabulary and the templates of a real model, so every request can be asked; what it answers is a
hash of the prompt. Prefill and decode take about as long as on a good card, so two steps in flight show.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.runner import Limits
from dreamscope.engine.devices.sim import Costs, Kind, SimRunner, WallClock
from dreamscope.engine.devices.toy_model import Codes, HistoryMachine
from dreamscope.engine.models.base import ModelConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.runtime.images import RawImage

STOP = 0.04
"""Probability that a text ends with its next token."""


@dataclass(frozen=True, slots=True)
class SimDevice:
    """A place that computes nothing."""

    name: str = "sim"
    dtype: DType = "float32"

    def inference(self) -> nullcontext[None]:
        """Nothing is recorded in any case."""
        return nullcontext()

    def free_memory(self) -> int | None:
        """It needs none."""
        return None


class Babbler(HistoryMachine):
    """The history machine, which ends a reasoning as often as it ends a text, by the answer marker."""

    answer_id = 3

    def logits(self, state: Codes) -> NDArray[np.float32]:
        """Where the end may not be chosen, the marker is."""
        logits = super().logits(state)
        logits[:, self.answer_id] = np.where(logits[:, 0] > 1, 1.5, -0.5)
        return logits


class SimModel:
    """What the engine needs of a model; `build` makes its runner."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.device = SimDevice()

    def crop(self, rgb: NDArray[np.uint8]) -> Any:
        """The history machine knows an image by its digest."""
        return RawImage.of(rgb).digest

    def build(self, limits: Limits) -> SimRunner:
        """A runner in real time."""
        machine = Babbler(vocab=self.config.text.vocab_size, stop=STOP)
        return SimRunner(limits, machine, WallClock(), Costs(_forward_ms, _sample_ms, copy=0.2))


def _forward_ms(kind: Kind, rows: int, tokens: int) -> float:
    return 4.0 + 0.02 * tokens


def _sample_ms(rows: int) -> float:
    return 0.5 + 0.01 * rows
