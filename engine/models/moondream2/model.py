"""Moondream 2 assembled: crops, vision, decoder, region model, for one sequence at a time.

Everything that touches the device belongs to one thread; `crop` and the tokenizer may be used from any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models import region, text, vision
from dreamscope.engine.models.crops import Crops, cut_crops
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import Moondream2Weights
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Size


class Moondream2:
    """The forward passes; no sampling, no prompts, no state besides the parameters.

    `hidden` is the residual stream after the last block and before the final norm.
    """

    def __init__(
        self, config: Moondream2Config, device: Device, weights: Moondream2Weights, tokenizer: Tokenizer
    ) -> None:
        t = config.text
        if tokenizer.vocab_size > t.vocab_size:
            raise WeightsInvalid(
                f"The tokenizer has ids up to {tokenizer.vocab_size - 1}, the model only {t.vocab_size} rows."
            )
        self.config = config
        self.device = device
        self.tokenizer = tokenizer
        self.weights = weights
        self._heads = text.Heads(t.n_heads, t.n_kv_heads, t.head_dim)
        self._rope = build_rope(device, t.head_dim, t.rotary_dim, t.max_context)

    # ---------------------------------------------------------------------------------------------- image

    def crop(self, rgb: NDArray[np.uint8]) -> Crops:
        """Cut an oriented image `[H, W, 3]`. Any thread, no device."""
        return cut_crops(rgb, self.config.vision)

    def encode_image(self, crops: Crops) -> Array:
        """Decoder rows `[grid * grid, D]` of an image."""
        features = self.vision_features(crops.pixels)
        return self.project(features[0], self.pooled(features, crops.tiling))

    def vision_features(self, pixels: NDArray[np.uint8]) -> Array:
        """Encoder output `[n, P, E]` of crops `[n, C, C, 3]`, each on its own."""
        v = self.config.vision
        patches = vision.cut_patches(pixels, v.enc_patch_size)
        return vision.encode_crops(self.device, self.weights.vision, v.enc_n_heads, patches)

    def stitched(self, features: Array, tiling: tuple[int, int]) -> Array:
        """Local features (crops 1 and up) of `vision_features` as one picture `[Hs, Ws, E]`."""
        v = self.config.vision
        return vision.stitch(self.device, features[1:], v.grid, v.overlap_margin, tiling)

    def pooled(self, features: Array, tiling: tuple[int, int]) -> Array:
        """The stitched picture averaged down to `[P, E]`."""
        return vision.pool(self.device, self.stitched(features, tiling), self.config.vision.grid)

    def project(self, whole: Array, pooled: Array) -> Array:
        """Both views `[P, E]` to decoder rows `[P, D]`."""
        return vision.project(self.device, self.weights.vision, whole, pooled)

    # -------------------------------------------------------------------------------------------- decoder

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for `capacity` positions, by default the whole context."""
        t = self.config.text
        positions = t.max_context if capacity is None else capacity
        if not 0 < positions <= t.max_context:
            raise ValueError(f"A cache has 1 to {t.max_context} positions, not {positions}.")
        return KVCache.empty(self.device, t.n_layers, t.n_kv_heads, positions, t.head_dim)

    def embed(self, prompt: Sequence[PromptItem]) -> Array:
        """Rows `[n, D]`: text ids from `text.wte`, numbers through the region encoders."""
        ids = [item for item in prompt if isinstance(item, int)]
        coords = [item.value for item in prompt if isinstance(item, Coord)]
        sizes = [(item.w, item.h) for item in prompt if isinstance(item, Size)]
        parts = []
        if ids:
            parts.append(self.device.take(self.weights.text.wte, self.device.array(np.array(ids)), 0))
        if coords:
            parts.append(self.encode_coords(np.array(coords, np.float32)))
        if sizes:
            parts.append(self.encode_sizes(np.array(sizes, np.float32)))
        if not parts:
            raise ValueError("A prompt has at least one item.")
        if len(parts) == 1:
            return parts[0]
        kinds = np.array([0 if isinstance(i, int) else 1 if isinstance(i, Coord) else 2 for i in prompt])
        rows = np.empty(len(kinds), np.int64)  # position in the prompt -> row of the joined parts
        rows[np.argsort(kinds, kind="stable")] = np.arange(len(kinds))
        return self.device.take(self.device.concat(parts, 0), self.device.array(rows), 0)

    def prefill_image(self, rows: Array, cache: KVCache) -> Array:
        """BOS and the image rows at positions 0 and up, each seeing all. Returns hidden `[n, D]`."""
        if cache.length:
            raise ValueError("An image starts at position 0; this cache is not empty.")
        bos = self.embed([self.config.tokenizer.bos_id])
        return self.hidden_states(self.device.concat((bos, rows), 0), cache, causal=False)

    def forward(self, embeds: Array, cache: KVCache) -> Array:
        """Append rows `[n, D]` causally; hidden `[D]` of the last position."""
        return self.hidden_states(embeds, cache)[-1]

    def hidden_states(self, embeds: Array, cache: KVCache, causal: bool = True) -> Array:
        """Append rows `[n, D]` at `cache.length`; hidden `[n, D]` of all of them.

        Each row sees everything cached before; among themselves, rows see their predecessors (`causal`) or
        each other. Raises `ValueError` if the cache has no room.
        """
        count, dim = embeds.shape
        start, end = cache.length, cache.length + count
        if end > cache.capacity:
            raise ValueError(f"{count} positions after {start} do not fit in a cache of {cache.capacity}.")
        mask = None
        if causal and count > 1:
            mask = self.device.array(np.arange(end) <= np.arange(start, end)[:, None])
        x = text.run_blocks(
            self.device,
            self.weights.text.blocks,
            self._heads,
            self._rope,
            self.device.reshape(embeds, (1, count, dim)),
            self._rope.cos[start:end],
            self._rope.sin[start:end],
            lambda layer, q, k, v: cache.attend(layer, q, k, v, mask),
        )
        cache.length = end
        return x[0]

    def logits(self, hidden: Array) -> NDArray[np.float32]:
        """Vocabulary logits `[V]` of one hidden `[D]` (or `[n, V]` of `[n, D]`), on the host."""
        return self.device.numpy(text.logits(self.device, self.weights.text, hidden))

    # --------------------------------------------------------------------------------------------- region

    def encode_coords(self, values: NDArray[np.float32]) -> Array:
        """Rows `[n, D]` of coordinates `[n]`."""
        return region.encode_coords(self.device, self.weights.region, values)

    def encode_sizes(self, values: NDArray[np.float32]) -> Array:
        """Rows `[n, D]` of sizes `[n, 2]` as (width, height)."""
        return region.encode_sizes(self.device, self.weights.region, values)

    def coord_logits(self, hidden: Array) -> NDArray[np.float32]:
        """Bin logits `[bins]` of one hidden `[D]` (or `[n, bins]`), on the host."""
        return self.device.numpy(region.decode_coords(self.device, self.weights.region, hidden))

    def size_logits(self, hidden: Array) -> NDArray[np.float32]:
        """Bin logits `[2, bins]`, width then height, of one hidden `[D]` (or `[n, 2, bins]`), on the host."""
        return self.device.numpy(region.decode_sizes(self.device, self.weights.region, hidden))
