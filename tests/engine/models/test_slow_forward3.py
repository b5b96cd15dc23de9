"""Random small mixtures of experts against a plain forward written from the formulas, one loop per sum.

Only what Moondream 3 adds: routing, experts, tau, its rotary base, its region decoders, its pixels.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.model import Moondream3
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint

Tensors = dict[str, np.ndarray]


@st.composite
def configs(draw: st.DrawFn) -> Moondream3Config:
    heads, head_dim = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([4, 8, 12]))
    dim, experts, layers = heads * head_dim, draw(st.integers(1, 5)), draw(st.integers(1, 3))
    return Moondream3Config.from_dict(
        {
            "text": {
                "dim": dim,
                "ff_dim": draw(st.integers(3, 20)),
                "n_layers": layers,
                "vocab_size": 280,
                "n_heads": heads,
                "max_context": 40,
                "rope_theta": draw(st.sampled_from([100.0, 1_500_000.0])),
                "tau_gelu": draw(st.sampled_from(["erf", "tanh"])),
                "moe": {
                    "num_experts": experts,
                    "start_layer": draw(st.integers(0, layers - 1)),
                    "experts_per_token": draw(st.integers(1, experts)),
                    "expert_inner_dim": draw(st.integers(1, 9)),
                },
            },
            "vision": {
                "enc_dim": 4,
                "enc_patch_size": 2,
                "enc_n_layers": 1,
                "enc_ff_dim": 5,
                "enc_n_heads": 1,
                "proj_out_dim": dim,
                "crop_size": 6,
                "overlap_margin": 1,
                "proj_inner_dim": 3,
            },
            "region": {
                "dim": dim,
                "coord_feat_dim": 6,
                "size_feat_dim": 8,
                "coord_out_dim": 16,
                "size_out_dim": 24,
                "use_ln": draw(st.booleans()),
            },
            "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
        }
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=configs(),
    prompt=st.lists(st.integers(21, 276), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_random_models(
    device: Device, tmp_path: Path, config: Moondream3Config, prompt: list[int], seed: int
) -> None:
    folder = write_random_checkpoint(config, tmp_path / "model", seed)
    stored = load_file(folder / "model.safetensors")
    w = {name.removeprefix("model."): tensor.astype(np.float64) for name, tensor in stored.items()}
    model = load_model(folder, device)
    assert isinstance(model, Moondream3)
    assert model.config == config
    numpy = model.device.numpy
    rgb = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)

    cache = model.new_cache()
    rows = model.encode_image(model.crop(rgb))
    hidden = [model.prefill_image(rows, cache), model.hidden_states(model.embed(prompt[:-1] or [1]), cache)]
    hidden.append(model.forward(model.embed(prompt[-1:]), cache)[None])  # one step as in decoding
    fed = [*(prompt[:-1] or [1]), prompt[-1]]
    everything = np.concatenate((w["text.wte"][:1], numpy(rows), w["text.wte"][fed]))
    slow = slow_text(w, config, everything, config.prefix_len)
    np.testing.assert_allclose(np.concatenate([numpy(h) for h in hidden]), slow, atol=3e-3)

    last = slow[-1:]
    logits = slow_linear(w, "text.lm_head", slow_norm(w, "text.post_ln", last))[0]
    np.testing.assert_allclose(model.logits(hidden[-1][0]), logits, atol=5e-3)
    seen = slow_norm(w, "region.ln", last) if config.region.use_ln else last
    coords = slow_linear(w, "region.coord_decoder", seen)[0]
    np.testing.assert_allclose(model.coord_logits(hidden[-1][0]), coords, atol=5e-3)
    sizes = slow_linear(w, "region.size_decoder", seen)[0]
    np.testing.assert_allclose(model.size_logits(hidden[-1][0]).ravel(), sizes, atol=5e-3)


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
        q, k, v = (
            qkv[:, part * t.dim + h * t.head_dim : part * t.dim + (h + 1) * t.head_dim].copy()
            for part in range(3)
        )
        for p in range(len(x)):
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
