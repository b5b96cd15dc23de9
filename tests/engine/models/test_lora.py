"""Adapters in the decoder: what each site adds, and rows of one batch with different adapters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models import text
from dreamscope.engine.models.lora import Adapter, LowRank, adapt_all
from dreamscope.engine.models.moondream2.adapter import SITES
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.text import Adapt, Site

RANK = 2


def make_adapter(config: Moondream2Config, device: Device, seed: int, sites: tuple[Site, ...]) -> Adapter:
    """Random at `sites`, zero elsewhere."""
    t, rng = config.text, np.random.default_rng(seed)
    widths: dict[Site, tuple[int, int]] = {
        "qkv": (t.dim, t.qkv_dim),
        "proj": (t.dim, t.dim),
        "fc1": (t.dim, t.ff_dim),
        "fc2": (t.ff_dim, t.dim),
    }

    def pair(site: Site) -> LowRank:
        into, out = widths[site]
        scale = 0.3 if site in sites else 0.0
        down, up = rng.standard_normal((into, RANK)), scale * rng.standard_normal((RANK, out))
        return LowRank(device.array(down.astype(np.float32)), device.array(up.astype(np.float32)))

    return Adapter(f"{seed}", [{site: pair(site) for site in SITES} for _ in range(t.n_layers)], 0)


@pytest.fixture
def run(model: Moondream2, config: Moondream2Config, device: Device) -> Any:
    t = config.text
    heads = text.Heads(t.n_heads, t.n_kv_heads, t.head_dim)
    rope = build_rope(device, t.head_dim, t.rotary_dim, t.max_context)
    rows = rope._replace(cos=rope.cos[:3], sin=rope.sin[:3])
    mask = device.array(np.tril(np.ones((3, 3), bool)))

    def blocks(x: np.ndarray, adapt: Adapt | None, layers: int = t.n_layers) -> np.ndarray:
        """Rows `[B, 3, D]` through the first layers of the decoder."""
        return device.numpy(
            text.run_blocks(
                device,
                model.weights.text.blocks[:layers],
                heads,
                device.array(x),
                text.rotated(device, heads, rows, lambda _, q, k, v: device.attention(q, k, v, mask)),
                adapt,
            )
        )

    return blocks


def rows(config: Moondream2Config, batch: int) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((batch, 3, config.text.dim)).astype(np.float32)


def test_the_output_projection_reads_the_normed_block_input(
    config: Moondream2Config, model: Moondream2, device: Device, run: Any
) -> None:
    x = rows(config, 1)
    adapter = make_adapter(config, device, 1, ("proj",))
    ln = model.weights.text.blocks[0].ln
    scale, shift = device.numpy(ln.weight), device.numpy(ln.bias)
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + shift
    pair = adapter.blocks[0]["proj"]
    added = normed @ device.numpy(pair.down) @ device.numpy(pair.up)
    with_it, without = (run(x, adapt, 1) for adapt in (adapt_all(device, adapter), None))
    assert np.abs(added).max() > 0.1
    np.testing.assert_allclose(with_it - without, added, atol=2e-5)


@pytest.mark.parametrize("site", ["qkv", "fc1", "fc2"])
def test_elsewhere_an_adapter_is_a_changed_weight(
    config: Moondream2Config, model: Moondream2, device: Device, run: Any, site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    x = rows(config, 1)
    adapter = make_adapter(config, device, 2, (site,))
    expected = run(x, adapt_all(device, adapter))
    merged = []
    for block, pairs in zip(model.weights.text.blocks, adapter.blocks, strict=True):
        linear = block.qkv if site == "qkv" else getattr(block.mlp, site)
        product = device.numpy(pairs[site].down) @ device.numpy(pairs[site].up)
        changed = replace(linear, weight=linear.weight + device.array(np.ascontiguousarray(product.T)))
        if site == "qkv":
            merged.append(replace(block, qkv=changed))
        else:
            merged.append(replace(block, mlp=replace(block.mlp, **{site: changed})))
    weights = replace(model.weights, text=replace(model.weights.text, blocks=merged))
    monkeypatch.setattr(model, "weights", weights)
    np.testing.assert_allclose(run(x, None), expected, atol=1e-4)


def test_rows_of_a_batch_may_use_different_adapters(
    config: Moondream2Config, device: Device, run: Any
) -> None:
    x = rows(config, 3)
    adapters = [make_adapter(config, device, seed, tuple(SITES)) for seed in (3, 4)]
    stacked = {
        (layer, site): tuple(
            device.concat([device.reshape(getattr(a.blocks[layer][site], part), shape) for a in adapters], 0)
            for part, shape in _stack_shapes(config, site)
        )
        for layer in range(config.text.n_layers)
        for site in SITES
    }
    slots = device.array(np.array([1, 0, 1]))

    def adapt(layer: int, site: Site, output: Any, x: Any) -> Any:
        return device.lora(output, x, *stacked[layer, site], slots)

    together = run(x, adapt)
    for row, slot in enumerate((1, 0, 1)):
        alone = run(x[row : row + 1], adapt_all(device, adapters[slot]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-4)
    assert np.abs(run(x[:1], None) - together[0]).max() > 0.1


def _stack_shapes(config: Moondream2Config, site: Site) -> list[tuple[str, tuple[int, int, int]]]:
    t = config.text
    into = t.ff_dim if site == "fc2" else t.dim
    out = {"qkv": t.qkv_dim, "proj": t.dim, "fc1": t.ff_dim, "fc2": t.dim}[site]
    return [("down", (1, into, RANK)), ("up", (1, RANK, out))]


def test_an_adapter_changes_only_the_rows_it_is_given_for(
    config: Moondream2Config, model: Moondream2, device: Device
) -> None:
    adapter = make_adapter(config, device, 5, tuple(SITES))
    prompt, rest = model.embed([0, 1, 50]), model.embed([60])
    plain, late, early = (model.new_cache() for _ in range(3))
    for cache, first in ((plain, None), (late, None), (early, adapter)):
        model.forward(prompt, cache, first)
    np.testing.assert_array_equal(device.numpy(plain.keys[1]), device.numpy(late.keys[1]))
    assert np.abs(device.numpy(early.keys[1]) - device.numpy(plain.keys[1])).max() > 0.01
    unchanged, changed = model.forward(rest, plain), model.forward(rest, late, adapter)
    assert np.abs(device.numpy(unchanged) - device.numpy(changed)).max() > 0.01
