"""Compares what happens to an image: tiling, crops, encoder, stitching, pooling, projection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dreamscope.engine.models.base import Model
from dreamscope.engine.models.config import VisionConfig
from dreamscope.engine.models.crops import tiling_of
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.report import Check, close, identical

TOLERANCE = 2e-4
"""On activations and logits; a published figure of the sets."""


def check_image(golden: GoldenSet, model: Model, index: int) -> Iterator[Check]:
    """Every stored quantity of one image."""
    facts, key, device = golden.data["images"][index], f"image{index}", model.device
    crops = model.crop(golden.rgb(index))
    yield identical(f"{key}.tiling", list(crops.tiling), facts["tiling"])
    yield identical(f"{key}.n_crops", len(crops.pixels), facts["n_crops"])
    yield identical(f"{key}.crops_u8", crops.pixels, golden.tensor(f"{key}/crops_u8"))
    features = model.vision_features(crops.pixels)
    pooled = model.pooled(features, crops.tiling)
    actual: dict[str, Any] = {
        "vision_features": features,
        "reconstructed": model.stitched(features, crops.tiling),
        "pooled": pooled,
        "projected": model.project(features[0], pooled),
    }
    for name, values in actual.items():
        expected = golden.tensor(f"{key}/{name}")
        yield close(f"{key}.{name}", device.numpy(values), expected, TOLERANCE)


def check_tilings(golden: GoldenSet) -> Check:
    """The grids that the published sizes give."""
    cases = golden.data["select_tiling_real"]
    actual = [list(tiling_of(case["height"], case["width"], VisionConfig())) for case in cases]
    return identical("tilings", actual, [case["tiling"] for case in cases])


def image_prefix(golden: GoldenSet, model: Model, index: int, adapter: Adapter | None = None) -> KVCache:
    """A cache that holds BOS and one image."""
    cache = model.new_cache()
    model.prefill_image(model.encode_image(model.crop(golden.rgb(index))), cache, adapter)
    return cache
