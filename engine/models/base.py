"""A model assembled: crops, vision, decoder, region model, for one sequence at a time.

The families share these forward passes; where they differ, their configs and their parameters say so.

Everything that touches the device belongs to one thread; `crop` and the tokenizer may be used from any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device, Rotation
from dreamscope.engine.devices.runner import Limits
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models import region, text, vision
from dreamscope.engine.models.batched import BatchedModel
from dreamscope.engine.models.config import TokenizerConfig, VisionConfig
from dreamscope.engine.models.crops import Crops, cut_crops
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.limits import default_limits
from dreamscope.engine.models.lora import Adapter, adapt_all
from dreamscope.engine.models.parts import ModelWeights
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.tau import log_positions
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Size


class TextSizes(Protocol):
    """What the forward passes need to know of a decoder config."""

    @property
    def n_layers(self) -> int:
        """Blocks."""

    @property
    def vocab_size(self) -> int:
        """Rows of `text.wte`."""

    @property
    def max_context(self) -> int:
        """The most positions of a sequence."""

    @property
    def n_heads(self) -> int:
        """Query heads."""

    @property
    def n_kv_heads(self) -> int:
        """Key heads."""

    @property
    def head_dim(self) -> int:
        """Width of one head."""

    @property
    def rotary_dim(self) -> int:
        """Leading dimensions of a head that carry the position."""

    @property
    def rope_theta(self) -> float:
        """Base of the rotary frequencies."""


class RegionSizes(Protocol):
    """What reading coordinates needs to know of a region config."""

    @property
    def coord_steps(self) -> int:
        """A coordinate is its bin divided by this."""


class ModelConfig(Protocol):
    """What a model, and whoever drives it, needs to know of its config."""

    @property
    def text(self) -> TextSizes:
        """The decoder."""

    @property
    def vision(self) -> VisionConfig:
        """The vision encoder and the tiling."""

    @property
    def region(self) -> RegionSizes:
        """Coordinates and sizes."""

    @property
    def tokenizer(self) -> TokenizerConfig:
        """Ids and prompt templates."""

    @property
    def image_tokens(self) -> int:
        """Rows that one image contributes, whatever its tiling."""

    @property
    def prefix_len(self) -> int:
        """Positions of BOS and the image, which see each other in both directions."""

    @property
    def rounds_pixels(self) -> bool:
        """Whether pixels are normalised in bfloat16 steps."""


class Model:
    """The forward passes; no sampling, no prompts, no state besides the parameters.

    `hidden` is the residual stream after the last block and before the final norm.
    """

    family: ClassVar[str]
    """Name of the architecture, as in `registry`."""

    def __init__(
        self, config: ModelConfig, device: Device, weights: ModelWeights, tokenizer: Tokenizer
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
        rope = build_rope(device, t.head_dim, t.rotary_dim, t.max_context, t.rope_theta)
        self._places = text.Places(rope, log_positions(device, t.max_context))

    # ---------------------------------------------------------------------------------------------- image

    def crop(self, rgb: NDArray[np.uint8]) -> Crops:
        """Cut an oriented image `[H, W, 3]`. Any thread, no device."""
        return cut_crops(rgb, self.config.vision)

    def encode_image(self, crops: Crops) -> Array:
        """Decoder rows `[grid * grid, D]` of an image, submitted before anybody prepares the prefill."""
        features = self.vision_features(crops.pixels)
        rows = self.project(features[0], self.pooled(features, crops.tiling))
        self.device.submit(rows)
        return rows

    def vision_features(self, pixels: NDArray[np.uint8]) -> Array:
        """Encoder output `[n, P, E]` of crops `[n, C, C, 3]`, each on its own."""
        v = self.config.vision
        patches = vision.cut_patches(pixels, v.enc_patch_size)
        table = vision.normalisation_table(self.config.rounds_pixels)
        return vision.encode_crops(self.device, self.weights.vision, v.enc_n_heads, patches, table)

    def final_and_early_features(self, pixels: NDArray[np.uint8], early_block: int) -> tuple[Array, Array]:
        """`vision_features`, and the encoder's stream `[n, P, E]` after the block of that index.

        Raises `ValueError` if there is no such block.
        """
        v = self.config.vision
        if not 0 <= early_block < v.enc_n_layers:
            raise ValueError(f"The encoder has {v.enc_n_layers} blocks, and no block {early_block}.")
        patches = vision.cut_patches(pixels, v.enc_patch_size)
        table = vision.normalisation_table(self.config.rounds_pixels)
        return vision.encode_with_early(
            self.device, self.weights.vision, v.enc_n_heads, patches, table, early_block
        )

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

    def prefill_image(self, rows: Array, cache: KVCache, adapter: Adapter | None = None) -> Array:
        """BOS and the image rows at positions 0 and up, each seeing all. Returns hidden `[n, D]`."""
        if cache.length:
            raise ValueError("An image starts at position 0; this cache is not empty.")
        bos = self.embed([self.config.tokenizer.bos_id])
        return self.hidden_states(self.device.concat((bos, rows), 0), cache, causal=False, adapter=adapter)

    def forward(self, embeds: Array, cache: KVCache, adapter: Adapter | None = None) -> Array:
        """Append rows `[n, D]` causally; hidden `[D]` of the last position, submitted."""
        hidden = self.hidden_states(embeds, cache, adapter=adapter)[-1]
        self.device.submit(hidden)
        return hidden

    def hidden_states(
        self, embeds: Array, cache: KVCache, causal: bool = True, adapter: Adapter | None = None
    ) -> Array:
        """Append rows `[n, D]` at `cache.length`; hidden `[n, D]` of all of them.

        Each row sees everything cached before; among themselves, rows see their predecessors (`causal`) or
        each other. `adapter` acts on these rows only: what is cached keeps the one it was computed with.
        Raises `ValueError` if the cache has no room.
        """
        count, dim = embeds.shape
        start, end = cache.length, cache.length + count
        if end > cache.capacity:
            raise ValueError(f"{count} positions after {start} do not fit in a cache of {cache.capacity}.")
        mask = None
        if causal and count > 1:
            mask = self.device.array(np.arange(end) <= np.arange(start, end)[:, None])
        (cos, sin, first, second), logs = self._places
        rotation = Rotation(cos[start:end], sin[start:end], first, second)
        x = self.run_blocks(
            self.device.reshape(embeds, (1, count, dim)),
            text.rotated(
                self.device, self._heads, rotation, lambda layer, q, k, v: cache.attend(layer, q, k, v, mask)
            ),
            logs[start:end],
            None if adapter is None else adapt_all(self.device, adapter),
        )
        cache.length = end
        return x[0]

    def run_blocks(
        self, x: Array, attend: text.Attend, log_position: Array, adapt: text.Adapt | None = None
    ) -> Array:
        """Residual stream `[B, T, D]` through every block; see `text.run_blocks`."""
        blocks, heads = self.weights.text.blocks, self._heads
        return text.run_blocks(self.device, blocks, heads, x, attend, adapt, log_position)

    def places_at(self, positions: Array) -> text.Places:
        """What is known of positions `[n]`."""
        (*tables, first, second), logs = self._places
        cos, sin, logs = (self.device.take(table, positions, 0) for table in (*tables, logs))
        return text.Places(Rotation(cos, sin, first, second), logs)

    def logits(self, hidden: Array) -> NDArray[np.float32]:
        """Vocabulary logits `[V]` of one hidden `[D]` (or `[n, V]` of `[n, D]`), on the host."""
        return self.device.numpy(text.logits(self.device, self.weights.text, hidden))

    def parameters(self) -> tuple[ModelWeights, text.Places]:
        """Everything on the device that the forward passes read."""
        return self.weights, self._places

    def batched(self, limits: Limits | None = None) -> BatchedModel:
        """Itself over many sequences, with memory for them: by default as much as seems right."""
        if limits is None:
            limits = default_limits(self.config, self.device.dtype, self.device.free_memory())
        return BatchedModel(self, limits)

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
