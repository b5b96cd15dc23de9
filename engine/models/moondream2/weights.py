"""Which tensors a Moondream 2 checkpoint holds, and how they become the model's parameters.

Names are those of the current layout after the leading `model.`; `canonical_name` maps every other
spelling to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.parts import (
    OLDER_NAMES,
    OLDER_TRANSPOSED,
    ModelWeights,
    Shape,
    get_linear,
    get_mlp,
    get_norm,
    get_vision,
    linear_shapes,
    mlp_shapes,
    norm_shapes,
    vision_shapes,
)
from dreamscope.engine.models.parts import GetTensor as GetTensor
from dreamscope.engine.models.parts import Shapes as Shapes
from dreamscope.engine.models.parts import StoredName as StoredName
from dreamscope.engine.models.region import RegionWeights
from dreamscope.engine.models.text import TextBlock, TextWeights


def expected_shapes(config: Moondream2Config) -> Shapes:
    """Every tensor of the checkpoint and its shape."""
    return dict([*vision_shapes(config.vision), *_text_shapes(config), *_region_shapes(config)])


def build_weights(config: Moondream2Config, get: GetTensor) -> ModelWeights:
    """Arrange tensors by name; `get` is called once for every key of `expected_shapes`."""
    return ModelWeights(
        get_vision(get, config.vision),
        TextWeights(
            get("text.wte"),
            [_text_block(get, f"text.blocks.{i}") for i in range(config.text.n_layers)],
            get_norm(get, "text.post_ln"),
            get_linear(get, "text.lm_head"),
        ),
        RegionWeights(
            get("region.coord_features"),
            get_linear(get, "region.coord_encoder"),
            get_mlp(get, "region.coord_decoder"),
            get("region.size_features"),
            get_linear(get, "region.size_encoder"),
            get_mlp(get, "region.size_decoder"),
        ),
    )


def is_quantisable(name: str) -> bool:
    """Whether a checkpoint may hold this parameter as int4: the linears of text blocks and region model."""
    return _QUANTISABLE.fullmatch(name) is not None


def canonical_name(key: str) -> StoredName | None:
    """Where the file key `key` belongs, in either layout; `None` for what is not a parameter.

    A key that no layout knows maps to itself.
    """
    key = key.replace("._orig_mod", "").removeprefix("_orig_mod.").removeprefix("model.")
    if ".kv_cache." in key:
        return None
    for pattern, name in _OLDER:
        match = pattern.fullmatch(key)
        if match:
            return StoredName(match.expand(name), transposed=key in OLDER_TRANSPOSED)
    return StoredName(key)


_QUANTISABLE = re.compile(r"(text\.blocks\.\d+\.(attn|mlp)|region\.(coord|size)_(en|de)coder)\.(.+\.)?weight")
_OLDER = tuple((re.compile(pattern), name) for pattern, name in OLDER_NAMES)


def _text_block(get: GetTensor, name: str) -> TextBlock:
    return TextBlock(
        get_norm(get, f"{name}.ln"),
        get_linear(get, f"{name}.attn.qkv"),
        get_linear(get, f"{name}.attn.proj"),
        get_mlp(get, f"{name}.mlp"),
    )


def _text_shapes(config: Moondream2Config) -> Iterator[Shape]:
    t = config.text
    yield "text.wte", (t.vocab_size, t.dim)
    for i in range(t.n_layers):
        block = f"text.blocks.{i}"
        yield from norm_shapes(f"{block}.ln", t.dim)
        yield from linear_shapes(f"{block}.attn.qkv", t.qkv_dim, t.dim)
        yield from linear_shapes(f"{block}.attn.proj", t.dim, t.dim)
        yield from mlp_shapes(f"{block}.mlp", t.dim, t.ff_dim, t.dim)
    yield from norm_shapes("text.post_ln", t.dim)
    yield from linear_shapes("text.lm_head", t.vocab_size, t.dim)


def _region_shapes(config: Moondream2Config) -> Iterator[Shape]:
    r = config.region
    yield "region.coord_features", (1, r.coord_feat_dim // 2)
    yield from linear_shapes("region.coord_encoder", r.dim, r.coord_feat_dim)
    yield from mlp_shapes("region.coord_decoder", r.dim, r.inner_dim, r.coord_out_dim)
    yield "region.size_features", (2, r.size_feat_dim // 2)
    yield from linear_shapes("region.size_encoder", r.dim, r.size_feat_dim)
    yield from mlp_shapes("region.size_decoder", r.dim, r.inner_dim, r.size_out_dim)
