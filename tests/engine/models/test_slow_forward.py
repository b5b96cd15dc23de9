"""Random small models against a plain forward written from the formulas, one loop per sum.

Nothing of the model files is used here but their names, so a shared mistake is unlikely.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint

Tensors = dict[str, np.ndarray]


@st.composite
def configs(draw: st.DrawFn) -> Moondream2Config:
    heads = draw(st.sampled_from([1, 2, 4]))
    head_dim = draw(st.sampled_from([4, 8, 12]))
    margin = draw(st.integers(0, 2))
    grid = 2 * margin + draw(st.integers(1, 3))
    patch = draw(st.integers(1, 3))
    enc_heads = draw(st.integers(1, 3))
    dim = heads * head_dim
    return Moondream2Config.from_dict(
        {
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
            "region": {"dim": dim, "coord_feat_dim": 6, "size_feat_dim": 8, "inner_dim": 9},
            "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
        }
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=configs(),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    prompt=st.lists(st.integers(21, 276), min_size=1, max_size=6),
    seed=st.integers(0, 2**16),
)
def test_random_models(
    device: Device,
    tmp_path: Path,
    config: Moondream2Config,
    height: int,
    width: int,
    prompt: list[int],
    seed: int,
) -> None:
    folder = write_random_checkpoint(config, tmp_path / "model", seed)
    stored = load_file(folder / "model.safetensors")
    w = {name.removeprefix("model."): tensor.astype(np.float64) for name, tensor in stored.items()}
    model = load_model(folder, device)
    numpy = model.device.numpy
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    crops = model.crop(rgb)
    features = model.vision_features(crops.pixels)
    slow_features = slow_vision(w, config, crops.pixels)
    np.testing.assert_allclose(numpy(features), slow_features, atol=2e-4)
    slow_pooled = slow_pool(slow_stitch(slow_features[1:], config, crops.tiling), config.vision.grid)
    np.testing.assert_allclose(numpy(model.pooled(features, crops.tiling)), slow_pooled, atol=2e-4)
    rows = model.encode_image(crops)
    joined = np.concatenate((slow_features[0], slow_pooled), 1)
    slow_rows = slow_mlp(w, "vision.proj_mlp", joined)
    np.testing.assert_allclose(numpy(rows), slow_rows, atol=5e-4)

    cache = model.new_cache()
    hidden = [model.prefill_image(rows, cache), model.hidden_states(model.embed(prompt), cache)]
    everything = np.concatenate((w["text.wte"][:1], slow_rows, w["text.wte"][prompt]))
    slow_hidden = slow_text(w, config, everything, config.prefix_len)
    np.testing.assert_allclose(np.concatenate([numpy(h) for h in hidden]), slow_hidden, atol=2e-3)
    slow_logits = slow_linear(w, "text.lm_head", slow_norm(w, "text.post_ln", slow_hidden[-1:]))[0]
    np.testing.assert_allclose(model.logits(hidden[1][-1]), slow_logits, atol=5e-3)

    alone = model.new_cache()
    causal = numpy(model.hidden_states(model.embed(prompt), alone))
    np.testing.assert_allclose(causal, slow_text(w, config, w["text.wte"][prompt], 0), atol=2e-3)


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


def slow_vision(w: Tensors, config: Moondream2Config, pixels: np.ndarray) -> np.ndarray:
    v = config.vision
    p, grid, width = v.enc_patch_size, v.grid, v.enc_dim // v.enc_n_heads
    encoded = []
    for crop in pixels:
        values = np.vectorize(_normalised)(crop)
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


def _normalised(byte: int) -> float:
    value = _bfloat16(byte / 255)
    value = _bfloat16(value - 0.5)
    return _bfloat16(value / 0.5)


def _bfloat16(value: float) -> float:
    """Nearest number with 8 significant bits, ties to even."""
    if value == 0:
        return 0.0
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def slow_stitch(local: np.ndarray, config: Moondream2Config, tiling: tuple[int, int]) -> np.ndarray:
    grid, m = config.vision.grid, config.vision.overlap_margin
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
