"""Compares what happens to an image: crops, encoder, pooling, projection, prefix and caches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.verify.golden import DECODER_TOLERANCE, ENCODER_TOLERANCE, GoldenSet
from dreamscope.engine.verify.report import Check, close, identical

Prefixes = dict[str, KVCache]


def check_image(golden: GoldenSet, model: Model, name: str, prefixes: Prefixes) -> Iterator[Check]:
    """Every stored quantity of one image; leaves the cache of its prefix in `prefixes`."""
    facts = golden.data["images"][name]
    key = f"image.{name}"
    crops = model.crop(golden.rgb(name))
    yield identical(f"{key}.tiling", list(crops.tiling), facts["tiling"])
    yield identical(
        f"{key}.crops_sha256", hashlib.sha256(crops.pixels.tobytes()).hexdigest(), facts["crops_sha256"]
    )
    stride = facts["probe_stride"]
    yield identical(
        f"{key}.crops_probe", crops.pixels[:, ::stride, ::stride], golden.tensor(f"{key}.crops_probe")
    )
    if facts["crops_idx"]:
        yield identical(f"{key}.crops_u8", crops.pixels[facts["crops_idx"]], golden.tensor(f"{key}.crops_u8"))

    device = model.device
    features = model.vision_features(crops.pixels)
    pooled = model.pooled(features, crops.tiling)
    rows = model.project(features[0], pooled)
    stitched = device.numpy(model.stitched(features, crops.tiling))
    yield identical(f"{key}.reconstructed_shape", list(stitched.shape), facts["reconstructed_shape"])
    encoder: dict[str, Any] = {
        "vision_out": device.numpy(features)[facts["vision_idx"]],
        "reconstructed": stitched,
        "pooled": device.numpy(pooled),
        "embed": device.numpy(rows)[:: facts["embed_row_stride"]],
    }
    yield from _stored(golden, key, encoder, ENCODER_TOLERANCE)

    cache = model.new_cache()
    hidden = device.numpy(model.prefill_image(rows, cache))
    prefixes[name] = cache
    yield identical(f"{key}.prefix_len", cache.length, facts["prefix_len"])
    yield from _stored(
        golden, key, {"prefix_hidden": hidden, "prefix_hidden_last": hidden[-1]}, DECODER_TOLERANCE
    )
    layers: dict[str, Any] = {}
    for index, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
        layers[f"k_cache.{index}"] = device.numpy(keys[0, :, : cache.length])
        layers[f"v_cache.{index}"] = device.numpy(values[0, :, : cache.length])
    yield from _stored(golden, key, layers, DECODER_TOLERANCE)


def _stored(golden: GoldenSet, key: str, actual: dict[str, np.ndarray], tolerance: float) -> Iterator[Check]:
    """Compare those quantities that the set stores."""
    for name, values in actual.items():
        if f"{key}.{name}" in golden.names:
            yield close(f"{key}.{name}", values, golden.tensor(f"{key}.{name}"), tolerance)
