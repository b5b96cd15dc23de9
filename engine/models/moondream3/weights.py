"""Which tensors a Moondream 3 checkpoint holds, and how they become the model's parameters.

Names are those of the preview checkpoint after the leading `model.`; `canonical_name` maps every other
spelling to them. A parameter that a file holds in several parts, because it is quantised or joined with
another one, has its parts under its own name and a suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dreamscope.engine.models.layers import Mlp
from dreamscope.engine.models.moe import Moe
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.parts import (
    OLDER_NAMES,
    OLDER_TRANSPOSED,
    GetTensor,
    ModelWeights,
    Shape,
    Shapes,
    StoredName,
    get_linear,
    get_mlp,
    get_norm,
    get_vision,
    linear_shapes,
    mlp_shapes,
    norm_shapes,
    vision_shapes,
)
from dreamscope.engine.models.region import RegionWeights
from dreamscope.engine.models.tau import Tau
from dreamscope.engine.models.text import TextBlock, TextWeights


def expected_shapes(config: Moondream3Config) -> Shapes:
    """Every tensor of the checkpoint and its shape."""
    return dict([*vision_shapes(config.vision), *_text_shapes(config), *_region_shapes(config)])


def build_weights(config: Moondream3Config, get: GetTensor) -> ModelWeights:
    """Arrange tensors by name; `get` is called once for every key of `expected_shapes`."""
    return ModelWeights(
        get_vision(get, config.vision),
        TextWeights(
            get("text.wte"),
            [_text_block(config, get, layer) for layer in range(config.text.n_layers)],
            get_norm(get, "text.post_ln"),
            get_linear(get, "text.lm_head"),
        ),
        RegionWeights(
            get("region.coord_features"),
            get_linear(get, "region.coord_encoder"),
            get_linear(get, "region.coord_decoder"),
            get("region.size_features"),
            get_linear(get, "region.size_encoder"),
            get_linear(get, "region.size_decoder"),
            get_norm(get, "region.ln") if config.region.use_ln else None,
        ),
    )


def canonical_name(key: str) -> StoredName | None:
    """Where the file key `key` belongs, in any layout; `None` for what is not a parameter.

    A key that no layout knows maps to itself.
    """
    key = key.replace("._orig_mod", "").removeprefix("_orig_mod.").removeprefix("model.")
    if ".kv_cache." in key or ".kv_quantizer." in key:
        return None
    for pattern, name in _OTHER_NAMES:
        match = pattern.fullmatch(key)
        if match:
            return StoredName(match.expand(name), transposed=key in OLDER_TRANSPOSED)
    return StoredName(key)


def is_quantisable(name: str) -> bool:
    """Whether a checkpoint may hold this parameter as int4 groups: the plain linears of text blocks."""
    return _QUANTISABLE.fullmatch(name) is not None


_QUANTISABLE = re.compile(r"text\.blocks\.\d+\.(attn|mlp)\.(qkv|proj|fc1|fc2)\.weight")
_H = r"text_model\.transformer\.h\.(\d+)\."
_B = r"text\.blocks\.(\d+)\."
_OTHER_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        # the layout of 3.1 and of the FP8 preview, where it differs from the one of Moondream 2
        (_H + r"gate\.(.+)", r"text.blocks.\1.mlp.router.\2"),
        (_H + r"mlp\.experts\.weight", r"text.blocks.\1.mlp.fc1.weight"),
        (_H + r"mlp\.output_experts\.weight", r"text.blocks.\1.mlp.fc2.weight"),
        (_H + r"moe_quant\.up_scale", r"text.blocks.\1.mlp.fc1.weight.row_scale"),
        (_H + r"moe_quant\.down_scale", r"text.blocks.\1.mlp.fc2.weight.row_scale"),
        (_H + r"tau_(wq|wv|wqwv|alpha)", r"text.blocks.\1.attn.tau.\2"),
        (r"region_model\.ln\.(.+)", r"region.ln.\1"),
        (r"region_model\.coordinate_head\.(.+)", r"region.coord_decoder.\1"),
        (r"region_model\.size_head\.(.+)", r"region.size_decoder.\1"),
        *OLDER_NAMES,
        # the layout of the 4-bit conversion
        (r"text\.wte\.weight", r"text.wte"),
        (_B + r"attn\.tau_(wq|wv|alpha)", r"text.blocks.\1.attn.tau.\2"),
        (_B + r"mlp\.(fc[12])", r"text.blocks.\1.mlp.\2.weight"),
        (_B + r"mlp\.(fc[12])_(q|scales|biases)", r"text.blocks.\1.mlp.\2.weight.\3"),
        (r"vision\.proj_(fc[12])\.(.+)", r"vision.proj_mlp.\1.\2"),
    )
)


def _text_block(config: Moondream3Config, get: GetTensor, layer: int) -> TextBlock:
    name = f"text.blocks.{layer}"
    t = config.text
    return TextBlock(
        get_norm(get, f"{name}.ln"),
        get_linear(get, f"{name}.attn.qkv"),
        get_linear(get, f"{name}.attn.proj"),
        _moe_or_mlp(config, get, layer),
        Tau(
            get(f"{name}.attn.tau.wq"),
            get(f"{name}.attn.tau.wv"),
            get(f"{name}.attn.tau.alpha"),
            t.tau_gelu == "tanh",
        )
        if t.tau_attn
        else None,
    )


def _moe_or_mlp(config: Moondream3Config, get: GetTensor, layer: int) -> Moe | Mlp:
    name, mixture = f"text.blocks.{layer}.mlp", config.text.experts_in(layer)
    if mixture is None:
        return get_mlp(get, name)
    return Moe(
        get_linear(get, f"{name}.router"),
        get(f"{name}.fc1.weight"),
        get(f"{name}.fc2.weight"),
        mixture.experts_per_token,
    )


def _text_shapes(config: Moondream3Config) -> Iterator[Shape]:
    t = config.text
    yield "text.wte", (t.vocab_size, t.dim)
    for layer in range(t.n_layers):
        block = f"text.blocks.{layer}"
        yield from norm_shapes(f"{block}.ln", t.dim)
        yield from linear_shapes(f"{block}.attn.qkv", t.qkv_dim, t.dim)
        yield from linear_shapes(f"{block}.attn.proj", t.dim, t.dim)
        if t.tau_attn:
            yield f"{block}.attn.tau.wq", (t.n_heads, t.qkv_dim)
            yield f"{block}.attn.tau.wv", (t.n_heads, t.qkv_dim)
            yield f"{block}.attn.tau.alpha", (t.n_heads,)
        mixture = t.experts_in(layer)
        if mixture is None:
            yield from mlp_shapes(f"{block}.mlp", t.dim, t.ff_dim, t.dim)
        else:
            yield from linear_shapes(f"{block}.mlp.router", mixture.num_experts, t.dim)
            inner = mixture.expert_inner_dim
            yield f"{block}.mlp.fc1.weight", (mixture.num_experts, 2 * inner, t.dim)
            yield f"{block}.mlp.fc2.weight", (mixture.num_experts, t.dim, inner)
    yield from norm_shapes("text.post_ln", t.dim)
    yield from linear_shapes("text.lm_head", t.vocab_size, t.dim)


def _region_shapes(config: Moondream3Config) -> Iterator[Shape]:
    r = config.region
    yield "region.coord_features", (1, r.coord_feat_dim // 2)
    yield from linear_shapes("region.coord_encoder", r.dim, r.coord_feat_dim)
    yield from linear_shapes("region.coord_decoder", r.coord_out_dim, r.dim)
    yield "region.size_features", (2, r.size_feat_dim // 2)
    yield from linear_shapes("region.size_encoder", r.dim, r.size_feat_dim)
    yield from linear_shapes("region.size_decoder", r.size_out_dim, r.dim)
    if r.use_ln:
        yield from norm_shapes("region.ln", r.dim)
