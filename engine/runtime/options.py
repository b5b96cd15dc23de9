"""What an operator may choose about an engine, and what follows from it for the runner."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.runner import Limits
from dreamscope.engine.models.base import ModelConfig
from dreamscope.engine.models.limits import MAX_BATCH, default_limits
from dreamscope.engine.runtime.cost_model import AdaptiveDepth, Depth, FixedDepth
from dreamscope.engine.runtime.planner import PREFILL_TOKENS, Policy

IMAGES_AT_ONCE = 4
"""That are read in one step."""


class Place(Protocol):
    """A device, as far as the engine looks at it."""

    @property
    def name(self) -> str:
        """As people call it."""

    @property
    def dtype(self) -> DType:
        """What keys and values are kept in."""

    def inference(self) -> AbstractContextManager[object]:
        """Scope in which the calling thread only computes."""

    def free_memory(self) -> int | None:
        """Bytes that may be used, `None` if unknown."""


DepthChoice = Literal["auto", 1, 2]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`pages` counts positions that can be kept; `None` takes what the memory suggests."""

    depth: DepthChoice = "auto"
    """Steps in flight: two overlap host and device, auto goes back to one where that does not pay."""
    max_batch: int = MAX_BATCH
    """Requests that are decoded together."""
    max_queue: int = 64
    """Requests that may wait; more are refused."""
    pages: int | None = None
    prefill_burst: int | None = 1
    """Prompts read in a row while somebody decodes; `None`: as many as there are."""
    max_wait_ms: float = 250.0
    """After so long a waiting request goes first."""
    keep_prefixes: bool = True
    """Whether what was read of a request stays after it; else the next one on that image begins anew."""

    def policy(self, image_tokens: int) -> Policy:
        """What the planner goes by. Who decodes waits for a few images of so many positions, not for more."""
        tokens = min(PREFILL_TOKENS, IMAGES_AT_ONCE * image_tokens)
        return Policy(
            self.max_wait_ms,
            prefill_tokens=tokens,
            prefill_burst=self.prefill_burst,
            keep_prefixes=self.keep_prefixes,
        )

    def limits(self, config: ModelConfig, device: Place) -> Limits:
        """Sizes of a runner of this model."""
        return default_limits(config, device.dtype, device.free_memory(), self.max_batch, self.pages)


def depth_rule(choice: DepthChoice, learnt: AdaptiveDepth | None = None) -> Depth:
    """The rule of a choice, with what was `learnt` before. Raises `ValueError` for all but auto, 1 and 2."""
    return (learnt or AdaptiveDepth()) if choice == "auto" else FixedDepth(choice)
