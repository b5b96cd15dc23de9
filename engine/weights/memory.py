"""How much memory a model will take, said before any of it is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dreamscope.engine.devices.base import ITEM_BYTES, Device, DType
from dreamscope.engine.errors import NotEnoughMemory
from dreamscope.engine.models.families import AnyConfig, family_of
from dreamscope.engine.weights.progress import size


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes: parameters, one cache over the whole context, and the largest intermediate results."""

    weights: int
    cache: int
    workspace: int

    @property
    def total(self) -> int:
        """All three together."""
        return self.weights + self.cache + self.workspace

    def __str__(self) -> str:
        return (
            f"{size(self.total)} ({size(self.weights)} weights, {size(self.cache)} for one full context, "
            f"{size(self.workspace)} while an image is encoded)"
        )


def memory_need(config: AnyConfig, dtype: DType) -> MemoryNeed:
    """What `config` takes when computed in `dtype`."""
    item = ITEM_BYTES[dtype]
    text, vision = config.text, config.vision
    parameters = sum(math.prod(shape) for shape in family_of(config).expected_shapes(config).values())
    cache = 2 * text.n_layers * text.n_kv_heads * text.head_dim * text.max_context
    rows = (vision.max_crops + 1) * config.image_tokens
    # The widest moment: the perceptron's inner values twice, beside the residual stream and its norm.
    workspace = rows * (2 * max(vision.enc_ff_dim, 3 * vision.enc_dim) + 2 * vision.enc_dim)
    return MemoryNeed(parameters * item, cache * item, workspace * item)


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
