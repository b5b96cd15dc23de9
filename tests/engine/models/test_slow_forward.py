"""Random small models against a plain forward written from the formulas, one loop per sum.

Nothing of the model files is used here but their names, so a shared mistake is unlikely. The whole of
Moondream 2; of Moondream 3 the image side, which is the same but for its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.config import VisionConfig
from dreamscope.engine.models.families import AnyConfig
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Coord, PromptItem, Size
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint
from dreamscope.engine.weights.random_shards import write_random_shards

Tensors = dict[str, np.ndarray]


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """What both families understand."""
    heads = draw(st.sampled_from([1, 2, 4]))
    margin = draw(st.integers(0, 2))
    grid = 2 * margin + draw(st.integers(1, 3))
    patch = draw(st.integers(1, 3))
    enc_heads = draw(st.integers(1, 3))
    dim = heads * draw(st.sampled_from([4, 8, 12]))
    return {
        "text": {
            "dim": dim,
            "ff_dim": draw(st.integers(3, 20)),
            "n_layers": draw(st.integers(1, 3)),
            "vocab_size": 280,
            "n_heads": heads,
            "n_kv_heads": draw(st.sampled_from([k for k in (1, 2, 4) if heads % k == 0])),
            "max_context": grid**2 + 20,
        },
        "vision": {
            "enc_dim": enc_heads * draw(st.integers(2, 6)),
            "enc_patch_size": patch,
            "enc_n_layers": draw(st.integers(1, 2)),
            "enc_ff_dim": draw(st.integers(2, 12)),
            "enc_n_heads": enc_heads,
            "proj_out_dim": dim,
            "crop_size": grid * patch,
            "overlap_margin": margin,
            "max_crops": draw(st.integers(1, 12)),
            "proj_inner_dim": draw(st.integers(2, 12)),
        },
        "region": {
            "dim": dim,
            "coord_feat_dim": 2 * draw(st.integers(1, 4)),
            "size_feat_dim": 2 * draw(st.integers(1, 4)),
            "coord_out_dim": draw(st.integers(2, 20)),
            "size_out_dim": 2 * draw(st.integers(1, 10)),
        },
        "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
    }


def load(
    config: AnyConfig, folder: Path, device: Device, seed: int, sharded: bool
) -> tuple[Model, dict[str, np.ndarray]]:
    """The model of a random checkpoint, in one float16 file or in bfloat16 shards, and its tensors."""
    if sharded:
        write_random_shards(config, folder, shard_bytes=2_500, seed=seed)
    else:
        write_random_checkpoint(config, folder, seed)
    stored = [load_file(file) for file in sorted(folder.glob("*.safetensors"))]
    assert (len(stored) > 1) is sharded
    model = load_model(folder, device)
    assert model.config == config
    w = {name.removeprefix("model."): t.double().numpy() for part in stored for name, t in part.items()}
    return model, w


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
numbers = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)
prompts = st.lists(st.integers(21, 276), min_size=1, max_size=6)
seeds = st.integers(0, 2**16)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(groups=configs(), size=sizes, seed=seeds, third=st.booleans(), sharded=st.booleans())
def test_images(
    device: Device,
    tmp_path_factory: pytest.TempPathFactory,
    groups: dict[str, Any],
    size: tuple[int, int],
    seed: int,
    third: bool,
    sharded: bool,
) -> None:
    config: AnyConfig = Moondream2Config.from_dict(groups)
    if third:
        moe = {"num_experts": 2, "start_layer": 0, "experts_per_token": 1, "expert_inner_dim": 2}
        config = Moondream3Config.from_dict(
            {**groups, "text": {**groups["text"], "tau_attn": False, "moe": moe}}
        )
    model, w = load(config, tmp_path_factory.mktemp("model"), device, seed, sharded)
    numpy = model.device.numpy
    crops = model.crop(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    features = model.vision_features(crops.pixels)
    slow_features = slow_vision(
        w, config.vision, crops.pixels, (lambda b: b / 127.5 - 1) if third else _rounded
    )
    np.testing.assert_allclose(numpy(features), slow_features, atol=1e-3)  # norms of a few numbers magnify
    slow_pooled = slow_pool(slow_stitch(slow_features[1:], config.vision, crops.tiling), config.vision.grid)
    np.testing.assert_allclose(numpy(model.pooled(features, crops.tiling)), slow_pooled, atol=1e-3)
    slow_rows = slow_mlp(w, "vision.proj_mlp", np.concatenate((slow_features[0], slow_pooled), 1))
    np.testing.assert_allclose(numpy(model.encode_image(crops)), slow_rows, atol=5e-4)


@quick
@given(groups=configs(), prompt=prompts, place=numbers, seed=seeds, sharded=st.booleans())
def test_text(
    device: Device,
    tmp_path_factory: pytest.TempPathFactory,
    groups: dict[str, Any],
    prompt: list[int],
    place: list[float],
    seed: int,
    sharded: bool,
) -> None:
    inner = {"inner_dim": 9}
    config = Moondream2Config.from_dict({**groups, "region": {**groups["region"], **inner}})
    model, w = load(config, tmp_path_factory.mktemp("model"), device, seed, sharded)
    numpy = model.device.numpy
    rows = np.random.default_rng(seed).standard_normal((config.image_tokens, config.text.dim), np.float32)
    x, width, height = place
    items: list[PromptItem] = [*prompt, Coord(x), Size(width, height)]

    cache = model.new_cache()
    hidden = [numpy(model.prefill_image(model.device.array(rows), cache))]
    hidden.append(numpy(model.hidden_states(model.embed(items), cache)))
    for token in prompt:  # one at a time, as in decoding
        last = model.forward(model.embed([token]), cache)
        hidden.append(numpy(last)[None])
    said = [*w["text.wte"][prompt], slow_place(w, "coord", [x]), slow_place(w, "size", [width, height])]
    everything = np.concatenate((w["text.wte"][:1], rows, said, w["text.wte"][prompt]))
    slow_hidden = slow_text(w, config, everything, config.prefix_len)  # all at once, nothing cached
    np.testing.assert_allclose(np.concatenate(hidden), slow_hidden, atol=2e-3)

    seen = slow_hidden[-1:]
    slow_logits = slow_linear(w, "text.lm_head", slow_norm(w, "text.post_ln", seen))[0]
    np.testing.assert_allclose(model.logits(last), slow_logits, atol=5e-3)
    for slow, decoded in (
        (slow_mlp(w, "region.coord_decoder", seen), model.coord_logits(last)),
        (slow_mlp(w, "region.size_decoder", seen), model.size_logits(last)),
    ):
        np.testing.assert_allclose(decoded.ravel(), slow[0], atol=5e-3)

    alone = model.new_cache()
    causal = numpy(model.hidden_states(model.embed(prompt), alone))
    np.testing.assert_allclose(causal, slow_text(w, config, w["text.wte"][prompt], 0), atol=2e-3)


def slow_place(w: Tensors, kind: str, values: list[float]) -> np.ndarray:
    angles = [
        2
        * math.pi
        * sum(value * row[j] for value, row in zip(values, w[f"region.{kind}_features"], strict=True))
        for j in range(w[f"region.{kind}_features"].shape[1])
    ]
    features = np.array([*map(math.cos, angles), *map(math.sin, angles)])
    return slow_linear(w, f"region.{kind}_encoder", features)


def slow_linear(w: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    return np.einsum("...i,oi->...o", x, w[f"{name}.weight"]) + w[f"{name}.bias"]


def slow_norm(w: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return (x - x.mean(-1, keepdims=True)) / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def slow_mlp(w: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    inner = slow_linear(w, f"{name}.fc1", x)
    inner = 0.5 * inner * (1 + np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    return slow_linear(w, f"{name}.fc2", inner)


def slow_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, visible: Any) -> np.ndarray:
    """One head: `[T, E]` each; `visible(query, key)`."""
    out = np.zeros_like(q)
    for i in range(len(q)):
        keys = [j for j in range(len(k)) if visible(i, j)]
        scores = np.array([q[i] @ k[j] / math.sqrt(len(q[i])) for j in keys])
        weights = np.exp(scores - scores.max())
        out[i] = sum(weight * v[j] for weight, j in zip(weights / weights.sum(), keys, strict=True))
    return out


def slow_vision(
    w: Tensors, v: VisionConfig, pixels: np.ndarray, normalised: Callable[[int], float]
) -> np.ndarray:
    p, grid, width = v.enc_patch_size, v.grid, v.enc_dim // v.enc_n_heads
    encoded = []
    for crop in pixels:
        values = np.vectorize(normalised, otypes=[float])(crop)
        patches = [
            np.concatenate([values[y * p : y * p + p, x * p : x * p + p, c].ravel() for c in range(3)])
            for y in range(grid)
            for x in range(grid)
        ]
        x = slow_linear(w, "vision.patch_emb", np.array(patches)) + w["vision.pos_emb"][0]
        for i in range(v.enc_n_layers):
            name = f"vision.blocks.{i}"
            qkv = slow_linear(w, f"{name}.attn.qkv", slow_norm(w, f"{name}.ln1", x))
            heads = []
            for h in range(v.enc_n_heads):
                q, k, value = (
                    qkv[:, part * v.enc_dim + h * width : part * v.enc_dim + (h + 1) * width]
                    for part in range(3)
                )
                heads.append(slow_attention(q, k, value, lambda i, j: True))
            x = x + slow_linear(w, f"{name}.attn.proj", np.concatenate(heads, 1))
            x = x + slow_mlp(w, f"{name}.mlp", slow_norm(w, f"{name}.ln2", x))
        encoded.append(slow_norm(w, "vision.post_ln", x))
    return np.array(encoded)


def _rounded(byte: int) -> float:
    value = _bfloat16(byte / 255)
    value = _bfloat16(value - 0.5)
    return _bfloat16(value / 0.5)


def _bfloat16(value: float) -> float:
    """Nearest number with 8 significant bits, ties to even."""
    if value == 0:
        return 0.0
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def slow_stitch(local: np.ndarray, v: VisionConfig, tiling: tuple[int, int]) -> np.ndarray:
    grid, m = v.grid, v.overlap_margin
    step = grid - 2 * m
    rows, cols = tiling
    picture = np.full((rows * step + 2 * m, cols * step + 2 * m, local.shape[-1]), np.nan)
    for i in range(rows):
        for j in range(cols):
            tile = local[i * cols + j].reshape(grid, grid, -1)
            top, bottom = (m if i else 0), grid - (m if i < rows - 1 else 0)
            left, right = (m if j else 0), grid - (m if j < cols - 1 else 0)
            place = picture[i * step + top : i * step + bottom, j * step + left : j * step + right]
            assert np.isnan(place).all(), "a cell has two sources"
            place[:] = tile[top:bottom, left:right]
    assert not np.isnan(picture).any(), "a cell has no source"
    return picture


def slow_pool(picture: np.ndarray, grid: int) -> np.ndarray:
    height, width, _ = picture.shape
    cells = []
    for a in range(grid):
        for b in range(grid):
            y0, y1 = math.floor(a * height / grid), math.ceil((a + 1) * height / grid)
            x0, x1 = math.floor(b * width / grid), math.ceil((b + 1) * width / grid)
            cells.append(picture[y0:y1, x0:x1].mean((0, 1)))
    return np.array(cells)


def slow_text(w: Tensors, config: Moondream2Config, x: np.ndarray, prefix: int) -> np.ndarray:
    t = config.text
    hd = t.head_dim
    for i in range(t.n_layers):
        name = f"text.blocks.{i}"
        normed = slow_norm(w, f"{name}.ln", x)
        qkv = slow_linear(w, f"{name}.attn.qkv", normed)
        heads = [qkv[:, n * hd : (n + 1) * hd] for n in range(t.n_heads + 2 * t.n_kv_heads)]
        mixed = []
        for h in range(t.n_heads):
            group = h // (t.n_heads // t.n_kv_heads)
            q, k = slow_rope(heads[h], t.rotary_dim), slow_rope(heads[t.n_heads + group], t.rotary_dim)
            value = heads[t.n_heads + t.n_kv_heads + group]
            mixed.append(
                slow_attention(q, k, value, lambda row, col: col <= row or (row < prefix and col < prefix))
            )
        attended = slow_linear(w, f"{name}.attn.proj", np.concatenate(mixed, 1))
        x = x + attended + slow_mlp(w, f"{name}.mlp", normed)
    return x


def slow_rope(x: np.ndarray, rotary: int) -> np.ndarray:
    out = x.copy()
    half = rotary // 2
    for position in range(len(x)):
        for j in range(half):
            angle = position * 10000 ** (-2 * j / rotary)
            a, b = x[position, j], x[position, j + half]
            out[position, 2 * j] = a * math.cos(angle) - b * math.sin(angle)
            out[position, 2 * j + 1] = a * math.sin(angle) + b * math.cos(angle)
    return out
