"""Random small mixtures of experts against a plain forward written from the formulas, one loop per sum.

The text and region side of Moondream 3, with and without tau, from a checkpoint in every layout.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.model import Moondream3
from dreamscope.engine.models.tokens import Coord, PromptItem, Size
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint
from dreamscope.engine.weights.random_shards import write_random_shards

Tensors = dict[str, np.ndarray]
SMALL_HEADS = [(1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (3, 8), (2, 12)]


Layout = Literal["file", "bfloat16", "int4", "fp8"]
LAYOUTS: tuple[Layout, ...] = ("file", "bfloat16", "int4", "fp8")


@st.composite
def configs(draw: st.DrawFn, layout: Layout) -> Moondream3Config:
    """Of a size that the experts can be packed in, where the layout packs them."""
    packed = layout in ("int4", "fp8")
    heads, head_dim = draw(st.sampled_from([(1, 64), (2, 32), (4, 16)] if packed else SMALL_HEADS))
    dim, experts, layers = heads * head_dim, draw(st.integers(1, 5)), draw(st.integers(1, 3))
    tau = draw(st.booleans())
    return Moondream3Config.from_dict(
        {
            "text": {
                "dim": dim,
                "ff_dim": draw(st.integers(3, 20)),
                "n_layers": layers,
                "vocab_size": 280,
                "n_heads": heads,
                "n_kv_heads": heads if tau or heads == 3 else draw(st.sampled_from([1, heads])),
                "max_context": 40,
                "rope_theta": draw(st.sampled_from([100.0, 1_500_000.0])),
                "tau_attn": tau,
                "tau_gelu": draw(st.sampled_from(["erf", "tanh"])),
                "moe": {
                    "num_experts": experts,
                    "start_layer": draw(st.integers(0, layers - 1)),
                    "experts_per_token": draw(st.integers(1, experts)),
                    "expert_inner_dim": 64 if packed else draw(st.integers(1, 9)),
                },
            },
            "vision": {
                "enc_dim": 4,
                "enc_patch_size": 2,
                "enc_n_layers": 1,
                "enc_ff_dim": 5,
                "enc_n_heads": 1,
                "proj_out_dim": dim,
                "crop_size": 2 * draw(st.integers(1, 3)),
                "overlap_margin": 0,
                "proj_inner_dim": 3,
            },
            "region": {
                "dim": dim,
                "coord_feat_dim": 2 * draw(st.integers(1, 4)),
                "size_feat_dim": 2 * draw(st.integers(1, 4)),
                "coord_out_dim": draw(st.integers(2, 20)),
                "size_out_dim": 2 * draw(st.integers(1, 12)),
                "use_ln": draw(st.booleans()),
            },
            "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
        }
    )


def load(
    config: Moondream3Config, layout: Layout, folder: Path, device: Device, seed: int
) -> tuple[Model, Tensors]:
    """The model of a random checkpoint in this layout, and the numbers that the files stand for."""
    if layout == "file":
        write_random_checkpoint(config, folder, seed)
    else:
        write_random_shards(config, folder, layout, shard_bytes=2_500, seed=seed)
    model = load_model(folder, device)
    assert isinstance(model, Moondream3)
    assert model.config == config
    stored = [load_file(file) for file in sorted(folder.glob("*.safetensors"))]
    raw = {name.removeprefix("model."): tensor for part in stored for name, tensor in part.items()}
    return model, numbers_of(raw)


def numbers_of(raw: dict[str, torch.Tensor]) -> Tensors:
    """Every parameter by name, with the experts unpacked."""
    w = {name: tensor.double().numpy() for name, tensor in raw.items() if tensor.dtype != torch.uint32}
    for name, tensor in raw.items():
        if name.endswith("_q"):
            stem = name.removesuffix("_q")
            w[f"{stem}.weight"] = four_bits(tensor.numpy(), w[f"{stem}_scales"], w[f"{stem}_biases"])
        elif name.endswith("experts.weight"):
            layer, which = name.split(".")[3], ("fc2", "down") if "output" in name else ("fc1", "up")
            scale = w[f"text_model.transformer.h.{layer}.moe_quant.{which[1]}_scale"]
            w[f"text.blocks.{layer}.mlp.{which[0]}.weight"] = w[name] * scale[..., None]
    return w


def four_bits(words: np.ndarray, scales: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Code n of a row is in bits 4 (n mod 8) and up of its word n / 8; 64 codes share a scale and a bias."""
    dense = np.empty((*words.shape[:2], 8 * words.shape[2]))
    for n in range(dense.shape[2]):
        code = (words[..., n // 8].astype(np.int64) >> (4 * (n % 8))) % 16
        dense[..., n] = code * scales[..., n // 64] + biases[..., n // 64]
    return dense


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_random_models(
    device: Device, tmp_path_factory: pytest.TempPathFactory, layout: Layout, data: st.DataObject, seed: int
) -> None:
    config = data.draw(configs(layout))
    prompt = data.draw(st.lists(st.integers(21, 276), min_size=1, max_size=6))
    place = data.draw(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
    model, w = load(config, layout, tmp_path_factory.mktemp("model"), device, seed)
    numpy = model.device.numpy
    rows = np.random.default_rng(seed).standard_normal((config.image_tokens, config.text.dim), np.float32)
    items: list[PromptItem] = [*prompt, Coord(place[0]), Size(place[1], place[2])]

    cache = model.new_cache()
    hidden = [numpy(model.prefill_image(model.device.array(rows), cache))]
    hidden.append(numpy(model.hidden_states(model.embed(items), cache)))
    for token in prompt:  # one at a time, as in decoding
        last = model.forward(model.embed([token]), cache)
        hidden.append(numpy(last)[None])
    said = [*w["text.wte"][prompt], slow_place(w, "coord", place[:1]), slow_place(w, "size", place[1:])]
    everything = np.concatenate((w["text.wte"][:1], rows, said, w["text.wte"][prompt]))
    slow = slow_text(w, config, everything, config.prefix_len)  # all at once, nothing cached
    np.testing.assert_allclose(np.concatenate(hidden), slow, atol=3e-3)

    logits = slow_linear(w, "text.lm_head", slow_norm(w, "text.post_ln", slow[-1:]))[0]
    np.testing.assert_allclose(model.logits(last), logits, atol=5e-3)
    seen = slow_norm(w, "region.ln", slow[-1:]) if config.region.use_ln else slow[-1:]
    coords = slow_linear(w, "region.coord_decoder", seen)[0]
    np.testing.assert_allclose(model.coord_logits(last), coords, atol=5e-3)
    sizes = slow_linear(w, "region.size_decoder", seen)[0]
    np.testing.assert_allclose(model.size_logits(last).ravel(), sizes, atol=5e-3)

    alone = model.new_cache()
    causal = numpy(model.hidden_states(model.embed(prompt), alone))
    np.testing.assert_allclose(causal, slow_text(w, config, w["text.wte"][prompt], 0), atol=3e-3)


def slow_place(w: Tensors, kind: str, values: list[float]) -> np.ndarray:
    rows = w[f"region.{kind}_features"]
    angles = [
        2 * math.pi * sum(value * row[j] for value, row in zip(values, rows, strict=True))
        for j in range(rows.shape[1])
    ]
    features = np.array([*map(math.cos, angles), *map(math.sin, angles)])
    return slow_linear(w, f"region.{kind}_encoder", features)


def slow_linear(w: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    return np.einsum("...i,oi->...o", x, w[f"{name}.weight"]) + w[f"{name}.bias"]


def slow_norm(w: Tensors, name: str, x: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return (x - x.mean(-1, keepdims=True)) / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def exact_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def tanh_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def slow_text(w: Tensors, config: Moondream3Config, x: np.ndarray, prefix: int) -> np.ndarray:
    t = config.text
    for layer in range(t.n_layers):
        name = f"text.blocks.{layer}"
        normed = slow_norm(w, f"{name}.ln", x)
        attended = slow_linear(w, f"{name}.attn.proj", slow_attention(w, config, name, normed, prefix))
        inner = (slow_dense if layer < t.moe.start_layer else slow_experts)(w, config, f"{name}.mlp", normed)
        x = x + attended + inner
    return x


def slow_dense(w: Tensors, config: Moondream3Config, name: str, x: np.ndarray) -> np.ndarray:
    return slow_linear(w, f"{name}.fc2", np.vectorize(tanh_gelu)(slow_linear(w, f"{name}.fc1", x)))


def slow_experts(w: Tensors, config: Moondream3Config, name: str, x: np.ndarray) -> np.ndarray:
    moe = config.text.moe
    out = np.zeros_like(x)
    for i, row in enumerate(x):
        scores = w[f"{name}.router.weight"] @ row + w[f"{name}.router.bias"]
        chosen = sorted(range(moe.num_experts), key=lambda e: -scores[e])[: moe.experts_per_token]
        total = sum(math.exp(scores[e]) for e in chosen)
        for e in chosen:
            u = w[f"{name}.fc1.weight"][e] @ row
            h, g = u[: moe.expert_inner_dim], u[moe.expert_inner_dim :]
            y = w[f"{name}.fc2.weight"][e] @ (np.vectorize(exact_gelu)(h) * (g + 1))
            out[i] += math.exp(scores[e]) / total * y
    return out


def slow_attention(w: Tensors, config: Moondream3Config, name: str, x: np.ndarray, prefix: int) -> np.ndarray:
    t = config.text
    qkv = slow_linear(w, f"{name}.attn.qkv", x)
    features = np.vectorize(exact_gelu if t.tau_gelu == "erf" else tanh_gelu)(qkv)
    joined = []
    for h in range(t.n_heads):
        group = t.n_heads + h // (t.n_heads // t.n_kv_heads)
        places = (h, group, group + t.n_kv_heads)
        q, k, v = (qkv[:, n * t.head_dim : (n + 1) * t.head_dim].copy() for n in places)
        for p in range(len(x) if t.tau_attn else 0):
            gate = 1 / (1 + math.exp(-w[f"{name}.attn.tau.alpha"][h] * math.log(p + 1)))
            q[p] *= math.tanh(w[f"{name}.attn.tau.wq"][h] @ features[p]) + 0.5 + gate
            v[p] *= math.tanh(w[f"{name}.attn.tau.wv"][h] @ features[p]) + 0.5 + gate
        q, k = slow_rope(q, t.rotary_dim, t.rope_theta), slow_rope(k, t.rotary_dim, t.rope_theta)
        out = np.zeros_like(q)
        for i in range(len(q)):
            keys = [j for j in range(len(k)) if j <= i or (i < prefix and j < prefix)]
            scores = np.array([q[i] @ k[j] / math.sqrt(t.head_dim) for j in keys])
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            out[i] = sum(weight * v[j] for weight, j in zip(weights, keys, strict=True))
        joined.append(out)
    return np.concatenate(joined, 1)


def slow_rope(x: np.ndarray, rotary: int, theta: float) -> np.ndarray:
    """The two turned halves one after the other; the order inside a head cancels out of every score."""
    out, half = x.copy(), rotary // 2
    for position in range(len(x)):
        for j in range(half):
            angle = position * theta ** (-2 * j / rotary)
            a, b = x[position, j], x[position, j + half]
            out[position, j] = a * math.cos(angle) - b * math.sin(angle)
            out[position, j + half] = a * math.sin(angle) + b * math.cos(angle)
    return out
