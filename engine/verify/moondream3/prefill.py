"""Compares one prompt layer by layer: norms, tau, rotation, routing, experts; and the region model.

The stored pass has the image and the prompt in one piece, so it is run that way here, under the mask that
joins the image to itself. The model's own two passes are what the cases use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models import text
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.layers import linear, mlp, norm
from dreamscope.engine.models.moe import Moe, moe, route
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.tau import Tau, log_positions, position_scale, tau_scales
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.moondream3.images import TOLERANCE
from dreamscope.engine.verify.report import Check, close, identical

Values = dict[str, Array | NDArray[Any]]


def check_prefill(golden: GoldenSet, model: Model) -> Iterator[Check]:
    """Every stored activation of the prompt, and its logits with both forms of tau."""
    device, expected = model.device, golden.data["prefill"]
    embeds = _embeds(golden, model)
    yield _close(golden, model, "prefill/embeds", embeds)
    hidden = embeds
    for layer, block in enumerate(model.weights.text.blocks):
        seen = _Seen()
        before, hidden = hidden, _through(model, [block], hidden, expected["block_ids"], seen)
        values: Values = {"out": hidden}
        if layer == 0:
            values |= _attention_parts(model, block, before, seen)
        if isinstance(block.mlp, Moe):
            yield from _routing(golden, model, block, before, layer)
        for name, value in values.items():
            yield _close(golden, model, f"prefill/layer{layer}/{name}", value)
    yield _close(golden, model, "prefill/post_ln", norm(device, hidden, model.weights.text.post_ln))
    yield _close(golden, model, "prefill/logits_last", model.logits(hidden[-1]))
    other = [replace(b, tau=_tanh(b.tau)) for b in model.weights.text.blocks]
    hidden = _through(model, other, embeds, expected["block_ids"], _Seen())
    yield _close(golden, model, "prefill/logits_last_tau_tanh", model.logits(hidden[-1]))


def check_tables(golden: GoldenSet, model: Model) -> Iterator[Check]:
    """Rotary tables, and the position's part of tau."""
    device, t = model.device, model.config.text
    rope = build_rope(device, t.head_dim, t.rotary_dim, t.max_context, t.rope_theta)
    count = len(golden.tensor("rope/cos"))
    # The tables hold every pair twice; the sign stands in the sine of the first of the two.
    yield _close(golden, model, "rope/cos", device.numpy(rope.cos)[:count, 0, 1 : t.rotary_dim : 2])
    yield _close(golden, model, "rope/sin", device.numpy(rope.sin)[:count, 0, 1 : t.rotary_dim : 2])
    tau = model.weights.text.blocks[0].tau
    assert tau is not None
    places = position_scale(device, tau, log_positions(device, count))
    yield _close(golden, model, "tau/pos_table_layer0", places)


def check_region(golden: GoldenSet, model: Model) -> Iterator[Check]:
    """Encoders and decoders of coordinates and sizes."""
    hidden = model.device.array(golden.tensor("region/hidden_in"))
    sizes = model.size_logits(hidden)
    values: Values = {
        "coord_emb": model.encode_coords(golden.tensor("region/coord_in")),
        "size_emb": model.encode_sizes(golden.tensor("region/size_in")),
        "coord_logits": model.coord_logits(hidden),
        "width_logits": sizes[:, 0],
        "height_logits": sizes[:, 1],
    }
    for name, value in values.items():
        yield _close(golden, model, f"region/{name}", value)


class _Seen:
    """What one block handed to attention, and what it got back."""

    q: Array
    k: Array
    v: Array
    mixed: Array


def _embeds(golden: GoldenSet, model: Model) -> Array:
    facts = golden.data["prefill"]
    first, *rest = (token["id"] for token in facts["prompt_tokens"])
    rows = model.encode_image(model.crop(golden.rgb(facts["image"])))
    return model.device.concat((model.embed([first]), rows, model.embed(rest)), 0)


def _through(
    model: Model, blocks: list[text.TextBlock], rows: Array, block_ids: list[int], seen: _Seen
) -> Array:
    """Rows `[T, D]` through some blocks at positions 0 and up, all in one pass."""
    device, t = model.device, model.config.text
    count, dim = rows.shape
    ids, place = np.array(block_ids), np.arange(count)
    joined = (ids[:, None] == ids) & (ids >= 0)
    mask = device.array((place <= place[:, None]) | joined)
    rope = build_rope(device, t.head_dim, t.rotary_dim, count, t.rope_theta)

    def attend(_: int, q: Array, k: Array, v: Array) -> Array:
        seen.q, seen.k, seen.v = q, k, v
        seen.mixed = device.attention(q, k, v, mask)
        return seen.mixed

    heads = text.Heads(t.n_heads, t.n_kv_heads, t.head_dim)
    x = device.reshape(rows, (1, count, dim))
    logs = log_positions(device, count)
    rotated = text.rotated(device, heads, rope, attend)
    return text.run_blocks(device, blocks, heads, x, rotated, None, logs)[0]


def _attention_parts(model: Model, block: text.TextBlock, rows: Array, seen: _Seen) -> Values:
    device = model.device
    count, dim = rows.shape
    normed = norm(device, device.reshape(rows, (1, count, dim)), block.ln)
    qkv = linear(device, normed, block.qkv)
    assert block.tau is not None
    logs = log_positions(device, count)
    q_scale, v_scale = (device.numpy(s)[0, :, :, 0] for s in tau_scales(device, block.tau, qkv, logs))
    place = device.numpy(position_scale(device, block.tau, logs))
    mixed = device.reshape(device.permute(seen.mixed, (0, 2, 1, 3)), (1, count, dim))
    inner = moe(device, normed, block.mlp) if isinstance(block.mlp, Moe) else mlp(device, normed, block.mlp)
    return {
        "ln": normed[0],
        "qkv": qkv[0],
        "tau_pos": place,
        "tau_tok_q": q_scale - place,
        "tau_tok_v": v_scale - place,
        "q": _half_split(model, seen.q),
        "k": _half_split(model, seen.k),
        "v": device.permute(seen.v, (0, 2, 1, 3))[0],
        "attn": mixed[0],
        "attn_proj": linear(device, mixed, block.proj)[0],
        "mlp": inner[0],
    }


def _half_split(model: Model, heads: Array) -> NDArray[np.float32]:
    """Rotated heads `[1, H, T, E]` as `[T, H, E]`, pairs half a rotation apart instead of side by side."""
    rotary = model.config.text.rotary_dim
    rows = model.device.numpy(heads)[0].transpose(1, 0, 2)
    return np.concatenate((rows[..., 0:rotary:2], rows[..., 1:rotary:2], rows[..., rotary:]), -1)


def _routing(
    golden: GoldenSet, model: Model, block: text.TextBlock, rows: Array, layer: int
) -> Iterator[Check]:
    device, key = model.device, f"prefill/layer{layer}"
    assert isinstance(block.mlp, Moe)
    normed = norm(device, rows, block.ln)
    yield _close(golden, model, f"{key}/router_logits", linear(device, normed, block.mlp.router))
    ids, weights = route(device, normed, block.mlp)
    yield identical(_dotted(f"{key}/topk_ids"), device.numpy(ids), golden.tensor(f"{key}/topk_ids"))
    yield _close(golden, model, f"{key}/topk_weights", weights)


def _tanh(tau: Tau | None) -> Tau | None:
    return None if tau is None else replace(tau, tanh_gelu=True)


def _close(golden: GoldenSet, model: Model, name: str, value: Any) -> Check:
    actual = value if isinstance(value, np.ndarray) else model.device.numpy(value)
    return close(_dotted(name), actual, golden.tensor(name), TOLERANCE)


def _dotted(name: str) -> str:
    return name.replace("/", ".")
