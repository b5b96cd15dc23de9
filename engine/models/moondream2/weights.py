"""Which tensors a Moondream 2 checkpoint holds, and how they become the model's parameters.

Names are those of the current layout after the leading `model.`; `canonical_name` maps every other
spelling to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.layers import Linear, Mlp, Norm
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.region import RegionWeights
from dreamscope.engine.models.text import TextBlock, TextWeights
from dreamscope.engine.models.vision import VisionBlock, VisionWeights

GetTensor = Callable[[str], Array]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Moondream2Weights:
    """All parameters on the device."""

    vision: VisionWeights
    text: TextWeights
    region: RegionWeights


@dataclass(frozen=True, slots=True)
class StoredName:
    """Where a tensor of a file belongs. `transposed`: the file holds its transpose."""

    name: str
    transposed: bool = False


def expected_shapes(config: Moondream2Config) -> Shapes:
    """Every tensor of the checkpoint and its shape."""
    return dict([*_vision_shapes(config), *_text_shapes(config), *_region_shapes(config)])


def build_weights(config: Moondream2Config, get: GetTensor) -> Moondream2Weights:
    """Arrange tensors by name; `get` is called once for every key of `expected_shapes`."""
    return Moondream2Weights(
        VisionWeights(
            _linear(get, "vision.patch_emb"),
            get("vision.pos_emb"),
            [_vision_block(get, f"vision.blocks.{i}") for i in range(config.vision.enc_n_layers)],
            _norm(get, "vision.post_ln"),
            _mlp(get, "vision.proj_mlp"),
        ),
        TextWeights(
            get("text.wte"),
            [_text_block(get, f"text.blocks.{i}") for i in range(config.text.n_layers)],
            _norm(get, "text.post_ln"),
            _linear(get, "text.lm_head"),
        ),
        RegionWeights(
            get("region.coord_features"),
            _linear(get, "region.coord_encoder"),
            _mlp(get, "region.coord_decoder"),
            get("region.size_features"),
            _linear(get, "region.size_encoder"),
            _mlp(get, "region.size_decoder"),
        ),
    )


def canonical_name(key: str) -> StoredName | None:
    """Where the file key `key` belongs, in either layout; `None` for what is not a parameter.

    A key that no layout knows maps to itself.
    """
    key = key.replace("._orig_mod", "").removeprefix("_orig_mod.").removeprefix("model.")
    if ".kv_cache." in key:
        return None
    for pattern, name in _LEGACY:
        match = pattern.fullmatch(key)
        if match:
            return StoredName(match.expand(name), transposed=key in _TRANSPOSED)
    return StoredName(key)


# ----------------------------------------------------------------------------------------- legacy names

_BLOCK = r"\.blocks\.(\d+)\."
_ENCODER = r"vision_encoder\.encoder\.model\.visual"
_TRANSPOSED = frozenset({"region_model.coordinate_features.weight", "region_model.size_features.weight"})
_LEGACY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (_ENCODER + r"\.patch_embed\.linear\.(.+)", r"vision.patch_emb.\1"),
        (_ENCODER + r"\.pos_embed", r"vision.pos_emb"),
        (_ENCODER + r"\.norm\.(.+)", r"vision.post_ln.\1"),
        (_ENCODER + _BLOCK + r"norm([12])\.(.+)", r"vision.blocks.\1.ln\2.\3"),
        (_ENCODER + _BLOCK + r"((?:attn|mlp)\..+)", r"vision.blocks.\1.\2"),
        (r"vision_encoder\.projection\.mlp\.(.+)", r"vision.proj_mlp.\1"),
        (r"text_model\.transformer\.embd\.wte\.weight", r"text.wte"),
        (r"text_model\.lm_head\.ln\.(.+)", r"text.post_ln.\1"),
        (r"text_model\.lm_head\.linear\.(.+)", r"text.lm_head.\1"),
        (r"text_model\.transformer\.h\.(\d+)\.mixer\.Wqkv\.(.+)", r"text.blocks.\1.attn.qkv.\2"),
        (r"text_model\.transformer\.h\.(\d+)\.mixer\.out_proj\.(.+)", r"text.blocks.\1.attn.proj.\2"),
        (r"text_model\.transformer\.h\.(\d+)\.((?:ln|mlp)\..+)", r"text.blocks.\1.\2"),
        (r"region_model\.(coord|size)(?:inate)?_features\.weight", r"region.\1_features"),
        (r"region_model\.(coord|size)(?:inate)?_(encoder|decoder)\.(.+)", r"region.\1_\2.\3"),
    )
)

# ------------------------------------------------------------------------------------------------ parts


def _linear(get: GetTensor, name: str) -> Linear:
    return Linear(get(f"{name}.weight"), get(f"{name}.bias"))


def _norm(get: GetTensor, name: str) -> Norm:
    return Norm(get(f"{name}.weight"), get(f"{name}.bias"))


def _mlp(get: GetTensor, name: str) -> Mlp:
    return Mlp(_linear(get, f"{name}.fc1"), _linear(get, f"{name}.fc2"))


def _vision_block(get: GetTensor, name: str) -> VisionBlock:
    return VisionBlock(
        _norm(get, f"{name}.ln1"),
        _linear(get, f"{name}.attn.qkv"),
        _linear(get, f"{name}.attn.proj"),
        _norm(get, f"{name}.ln2"),
        _mlp(get, f"{name}.mlp"),
    )


def _text_block(get: GetTensor, name: str) -> TextBlock:
    return TextBlock(
        _norm(get, f"{name}.ln"),
        _linear(get, f"{name}.attn.qkv"),
        _linear(get, f"{name}.attn.proj"),
        _mlp(get, f"{name}.mlp"),
    )


# ----------------------------------------------------------------------------------------------- shapes

Shape = tuple[str, tuple[int, ...]]


def _linear_shapes(name: str, out: int, into: int) -> Iterator[Shape]:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _norm_shapes(name: str, dim: int) -> Iterator[Shape]:
    yield f"{name}.weight", (dim,)
    yield f"{name}.bias", (dim,)


def _mlp_shapes(name: str, dim: int, inner: int, out: int) -> Iterator[Shape]:
    yield from _linear_shapes(f"{name}.fc1", inner, dim)
    yield from _linear_shapes(f"{name}.fc2", out, inner)


def _vision_shapes(config: Moondream2Config) -> Iterator[Shape]:
    v = config.vision
    yield from _linear_shapes("vision.patch_emb", v.enc_dim, v.patch_dim)
    yield "vision.pos_emb", (1, config.image_tokens, v.enc_dim)
    for i in range(v.enc_n_layers):
        block = f"vision.blocks.{i}"
        yield from _norm_shapes(f"{block}.ln1", v.enc_dim)
        yield from _linear_shapes(f"{block}.attn.qkv", 3 * v.enc_dim, v.enc_dim)
        yield from _linear_shapes(f"{block}.attn.proj", v.enc_dim, v.enc_dim)
        yield from _norm_shapes(f"{block}.ln2", v.enc_dim)
        yield from _mlp_shapes(f"{block}.mlp", v.enc_dim, v.enc_ff_dim, v.enc_dim)
    yield from _norm_shapes("vision.post_ln", v.enc_dim)
    yield from _mlp_shapes("vision.proj_mlp", 2 * v.enc_dim, v.proj_inner_dim, v.proj_out_dim)


def _text_shapes(config: Moondream2Config) -> Iterator[Shape]:
    t = config.text
    yield "text.wte", (t.vocab_size, t.dim)
    for i in range(t.n_layers):
        block = f"text.blocks.{i}"
        yield from _norm_shapes(f"{block}.ln", t.dim)
        yield from _linear_shapes(f"{block}.attn.qkv", t.qkv_dim, t.dim)
        yield from _linear_shapes(f"{block}.attn.proj", t.dim, t.dim)
        yield from _mlp_shapes(f"{block}.mlp", t.dim, t.ff_dim, t.dim)
    yield from _norm_shapes("text.post_ln", t.dim)
    yield from _linear_shapes("text.lm_head", t.vocab_size, t.dim)


def _region_shapes(config: Moondream2Config) -> Iterator[Shape]:
    r = config.region
    yield "region.coord_features", (1, r.coord_feat_dim // 2)
    yield from _linear_shapes("region.coord_encoder", r.dim, r.coord_feat_dim)
    yield from _mlp_shapes("region.coord_decoder", r.dim, r.inner_dim, r.coord_out_dim)
    yield "region.size_features", (2, r.size_feat_dim // 2)
    yield from _linear_shapes("region.size_encoder", r.dim, r.size_feat_dim)
    yield from _mlp_shapes("region.size_decoder", r.dim, r.inner_dim, r.size_out_dim)
