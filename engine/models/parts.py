"""Tensors by checkpoint name to the parameters that every family has, and the shapes they must have.

Names are those of the current checkpoint layout after the leading `model.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.config import VisionConfig
from dreamscope.engine.models.layers import Linear, Mlp, Norm
from dreamscope.engine.models.region import RegionWeights
from dreamscope.engine.models.text import TextWeights
from dreamscope.engine.models.vision import VisionBlock, VisionWeights

GetTensor = Callable[[str], Array]
Shapes = dict[str, tuple[int, ...]]
Shape = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """All parameters on the device."""

    vision: VisionWeights
    text: TextWeights
    region: RegionWeights


@dataclass(frozen=True, slots=True)
class StoredName:
    """Where a tensor of a file belongs. `transposed`: the file holds its transpose."""

    name: str
    transposed: bool = False


# ------------------------------------------------------------------------------------------- parameters


def get_linear(get: GetTensor, name: str) -> Linear:
    """`name.weight`, `name.bias`."""
    return Linear(get(f"{name}.weight"), get(f"{name}.bias"))


def get_norm(get: GetTensor, name: str) -> Norm:
    """`name.weight`, `name.bias`."""
    return Norm(get(f"{name}.weight"), get(f"{name}.bias"))


def get_mlp(get: GetTensor, name: str) -> Mlp:
    """`name.fc1`, `name.fc2`."""
    return Mlp(get_linear(get, f"{name}.fc1"), get_linear(get, f"{name}.fc2"))


def get_vision(get: GetTensor, config: VisionConfig) -> VisionWeights:
    """The encoder and the projection."""
    return VisionWeights(
        get_linear(get, "vision.patch_emb"),
        get("vision.pos_emb"),
        [_vision_block(get, f"vision.blocks.{i}") for i in range(config.enc_n_layers)],
        get_norm(get, "vision.post_ln"),
        get_mlp(get, "vision.proj_mlp"),
    )


def _vision_block(get: GetTensor, name: str) -> VisionBlock:
    return VisionBlock(
        get_norm(get, f"{name}.ln1"),
        get_linear(get, f"{name}.attn.qkv"),
        get_linear(get, f"{name}.attn.proj"),
        get_norm(get, f"{name}.ln2"),
        get_mlp(get, f"{name}.mlp"),
    )


# ----------------------------------------------------------------------------------------------- shapes


def linear_shapes(name: str, out: int, into: int) -> Iterator[Shape]:
    """Of a linear layer with bias."""
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def norm_shapes(name: str, dim: int) -> Iterator[Shape]:
    """Of a layer norm."""
    yield f"{name}.weight", (dim,)
    yield f"{name}.bias", (dim,)


def mlp_shapes(name: str, dim: int, inner: int, out: int) -> Iterator[Shape]:
    """Of two linear layers."""
    yield from linear_shapes(f"{name}.fc1", inner, dim)
    yield from linear_shapes(f"{name}.fc2", out, inner)


def vision_shapes(v: VisionConfig) -> Iterator[Shape]:
    """Of everything under `vision`."""
    yield from linear_shapes("vision.patch_emb", v.enc_dim, v.patch_dim)
    yield "vision.pos_emb", (1, v.grid**2, v.enc_dim)
    for i in range(v.enc_n_layers):
        block = f"vision.blocks.{i}"
        yield from norm_shapes(f"{block}.ln1", v.enc_dim)
        yield from linear_shapes(f"{block}.attn.qkv", 3 * v.enc_dim, v.enc_dim)
        yield from linear_shapes(f"{block}.attn.proj", v.enc_dim, v.enc_dim)
        yield from norm_shapes(f"{block}.ln2", v.enc_dim)
        yield from mlp_shapes(f"{block}.mlp", v.enc_dim, v.enc_ff_dim, v.enc_dim)
    yield from norm_shapes("vision.post_ln", v.enc_dim)
    yield from mlp_shapes("vision.proj_mlp", 2 * v.enc_dim, v.proj_inner_dim, v.proj_out_dim)


# ------------------------------------------------------------------------------- names of the older layout

OLDER_ENCODER = r"vision_encoder\.encoder\.model\.visual"
OLDER_NAMES = (
    (OLDER_ENCODER + r"\.patch_embed\.linear\.(.+)", r"vision.patch_emb.\1"),
    (OLDER_ENCODER + r"\.pos_embed", r"vision.pos_emb"),
    (OLDER_ENCODER + r"\.norm\.(.+)", r"vision.post_ln.\1"),
    (OLDER_ENCODER + r"\.blocks\.(\d+)\.norm([12])\.(.+)", r"vision.blocks.\1.ln\2.\3"),
    (OLDER_ENCODER + r"\.blocks\.(\d+)\.((?:attn|mlp)\..+)", r"vision.blocks.\1.\2"),
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
"""Patterns of the layout that both families were trained in, and the names used here."""
OLDER_TRANSPOSED = frozenset({"region_model.coordinate_features.weight", "region_model.size_features.weight"})
