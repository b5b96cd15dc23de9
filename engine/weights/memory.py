"""How much memory a model will take, said before any of it is allocated, and what that leaves for the rest.

Weights come first. Beside them there is always room for what one image needs while it is encoded, and for one
cache over the whole context: where that is more than there is, the context is shorter. Images that were read
before may keep half of what is then left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.engine.devices.base import ITEM_BYTES, Device, DType
from dreamscope.engine.errors import NotEnoughMemory
from dreamscope.engine.models.base import Model, ModelConfig
from dreamscope.engine.models.families import AnyConfig, family_of
from dreamscope.engine.weights.progress import size

LEAST_CONTEXT = 4096
"""Positions that a model must have room for, if it has as many: fewer leave long answers no room."""
CONTEXT_STEP = 256


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes: parameters, one cache over `context` positions, and the largest intermediate results."""

    weights: int
    cache: int
    workspace: int
    context: int

    @property
    def total(self) -> int:
        """All three together."""
        return self.weights + self.cache + self.workspace

    def __str__(self) -> str:
        return (
            f"{size(self.total)} ({size(self.weights)} weights, {size(self.cache)} for a context of "
            f"{self.context:,} tokens, {size(self.workspace)} while an image is encoded)"
        )


def memory_need(config: AnyConfig, dtype: DType, weights: int | None = None) -> MemoryNeed:
    """What `config` takes when computed in `dtype`.

    `weights`: bytes of the parameters where not all of them are held in `dtype`.
    """
    if weights is None:
        shapes = family_of(config).expected_shapes(config).values()
        weights = ITEM_BYTES[dtype] * sum(math.prod(shape) for shape in shapes)
    cache, workspace = _beside_weights(config, dtype)
    return MemoryNeed(weights, cache, workspace, config.text.max_context)


def _beside_weights(config: ModelConfig, dtype: DType) -> tuple[int, int]:
    """Bytes of a cache over the whole context, and of the largest intermediate results."""
    item, text, vision = ITEM_BYTES[dtype], config.text, config.vision
    cache = 2 * text.n_layers * text.n_kv_heads * text.head_dim * text.max_context
    rows = (vision.max_crops + 1) * config.image_tokens
    # The widest moment: the perceptron's inner values twice, beside the residual stream and its norm.
    workspace = rows * (2 * max(vision.enc_ff_dim, 3 * vision.enc_dim) + 2 * vision.enc_dim)
    return cache * item, workspace * item


def fit_context(config: AnyConfig, need: MemoryNeed, device: Device) -> tuple[AnyConfig, MemoryNeed]:
    """Both with the longest context that the device's free memory holds, but at least `LEAST_CONTEXT`."""
    free = device.free_memory()
    if free is None or need.total <= free:
        return config, need
    position = need.cache // need.context
    room = (free - need.weights - need.workspace) // position
    context = max(min(LEAST_CONTEXT, need.context), room // CONTEXT_STEP * CONTEXT_STEP)
    text: Any = replace(config.text, max_context=context)  # each family has a class of its own
    return replace(config, text=text), replace(need, cache=position * context, context=context)


def image_cache_bytes(asked: int, model: Model) -> int:
    """How many of `asked` bytes the encoded images of a loaded model may take."""
    free = model.device.free_memory()
    if free is None:
        return asked
    spoken_for = sum(_beside_weights(model.config, model.device.dtype))
    return min(asked, max(0, (free - spoken_for) // 2))


def check_memory(need: MemoryNeed, device: Device) -> None:
    """Raises `NotEnoughMemory` with both numbers and what to do. Unknown free memory is not a reason."""
    free = device.free_memory()
    if free is None or need.total <= free:
        return
    smaller = " or compute in bfloat16, which halves it" if device.dtype == "float32" else ""
    raise NotEnoughMemory(
        f"The model needs {need} in {device.dtype}, but {device.name} has {size(free)} free. "
        f"Close other programs{smaller}, or choose a smaller model such as sprite-2."
    )
