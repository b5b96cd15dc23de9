"""How many sequences a model serves at once, and how many positions they may hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamscope.engine.devices.base import ITEM_BYTES, DType
from dreamscope.engine.devices.runner import Limits

if TYPE_CHECKING:
    from dreamscope.engine.models.base import ModelConfig

MAX_BATCH = 32
MAX_PAGES = 1 << 16
FREE_SHARE = 0.5
"""Of the free memory, for pages."""


def page_bytes(config: ModelConfig, dtype: DType) -> int:
    """Of one position in all layers, keys and values."""
    t = config.text
    return 2 * t.n_layers * t.n_kv_heads * t.head_dim * ITEM_BYTES[dtype]


def default_limits(
    config: ModelConfig,
    dtype: DType,
    free: int | None,
    max_batch: int = MAX_BATCH,
    kv_pages: int | None = None,
) -> Limits:
    """Sizes for a model with `free` bytes beside its weights, `None` if unknown.

    `kv_pages` asks for a number of positions. Otherwise every row gets a whole context as far as half of the
    memory and `MAX_PAGES` allow; there is always room for one.
    """
    t = config.text
    rows = max_batch + 2
    if kv_pages is None:
        kv_pages = min(MAX_PAGES, rows * t.max_context)
        if free is not None:
            kv_pages = min(kv_pages, int(free * FREE_SHARE) // page_bytes(config, dtype))
    return Limits(
        max_batch=max_batch,
        rows=rows,
        max_seq=t.max_context,
        vocab=t.vocab_size,
        n_pages=1 + max(t.max_context, kv_pages),
    )
